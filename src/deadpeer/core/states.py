"""The states of a peer and the ways between them: one table, drawn in the docs."""

from enum import StrEnum

__all__ = ["CODES", "TRANSITIONS", "Cause", "State", "diagram", "follow"]


class State(StrEnum):
    """What is known of a peer."""

    CONNECTING = "connecting"  # not agreed yet; nothing is judged
    ALIVE = "alive"
    SUSPECT = "suspect"  # asked, and later with its answer than usual
    DEAD = "dead"  # final: the verdict, with its evidence
    CLOSED = "closed"  # final: somebody said goodbye


class Cause(StrEnum):
    """What moves a peer from one state to the next."""

    OPENED = "opened"  # the connection stands, the handshake is done
    SILENT = "silent"  # no answer within the usual time
    HEARD = "heard"  # a byte, any byte
    EXPIRED = "expired"  # no answer within the timeout, and nothing unread
    FAILED = "failed"  # the kernel reported an error, or the protocol was broken
    LEFT = "left"  # one side closed


# The order is that of the codes in a row of numbers: comparisons such as
# "dead or closed" are one number against another.
CODES: tuple[State, ...] = tuple(State)

TRANSITIONS: dict[tuple[State, Cause], State] = {
    (State.CONNECTING, Cause.OPENED): State.ALIVE,
    (State.CONNECTING, Cause.FAILED): State.DEAD,
    (State.CONNECTING, Cause.LEFT): State.CLOSED,
    (State.ALIVE, Cause.SILENT): State.SUSPECT,
    (State.ALIVE, Cause.EXPIRED): State.DEAD,
    (State.ALIVE, Cause.FAILED): State.DEAD,
    (State.ALIVE, Cause.LEFT): State.CLOSED,
    (State.SUSPECT, Cause.HEARD): State.ALIVE,
    (State.SUSPECT, Cause.EXPIRED): State.DEAD,
    (State.SUSPECT, Cause.FAILED): State.DEAD,
    (State.SUSPECT, Cause.LEFT): State.CLOSED,
}


def follow(state: State, cause: Cause) -> State:
    """
    Return the state that comes next; the same one where nothing changes.

    Args:
        state: Where the peer is.
        cause: What happened.

    >>> follow(State.SUSPECT, Cause.HEARD)
    <State.ALIVE: 'alive'>
    >>> follow(State.DEAD, Cause.HEARD)
    <State.DEAD: 'dead'>
    """
    return TRANSITIONS.get((state, cause), state)


def diagram() -> str:
    """Return the table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.CONNECTING}"]
    lines += [f"    {a} --> {b}: {cause}" for (a, cause), b in TRANSITIONS.items()]
    lines += [f"    {final} --> [*]" for final in (State.DEAD, State.CLOSED)]
    return "\n".join(lines)
