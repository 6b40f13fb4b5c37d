"""
A run as people read it: in words, as tables, as a picture, as a page.

All of it computes with a finished run, or with the news of one, and touches
nothing; files and terminals are the command line's business.
"""
