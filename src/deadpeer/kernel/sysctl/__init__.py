"""The system's settings: which are in force, who sets them, and changing them."""
