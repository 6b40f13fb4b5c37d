"""What a neighbour is told, for its connections to be dead in three seconds."""

__all__ = ["GUARDED"]

# Dead after two unanswered probes and three seconds, idle or busy.
GUARDED = (
    "[s.setsockopt(*option) for s in {0} for option in"
    " ((1, 9, 1), (6, 4, 1), (6, 5, 1), (6, 6, 3), (6, 18, 3000))]"
)
