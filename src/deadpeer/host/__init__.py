"""The verbs for a whole machine: list, judge, fix, end and watch its connections."""
