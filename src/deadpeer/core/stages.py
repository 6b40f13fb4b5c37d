"""
The life of one direction of a conversation: one table, drawn in the docs.

Each direction has a stage of its own. The sender may send what its own direction's
row allows; the receiver takes no other.
"""

from enum import StrEnum

from deadpeer.core.frames import Kind

__all__ = ["FRAMES", "Stage"]


class Stage(StrEnum):
    """How far one direction is."""

    SILENT = "silent"  # nothing was said yet
    OPEN = "open"  # after HELLO
    GONE = "gone"  # after BYE
    BROKEN = "broken"  # after a breach; nothing more is read


FRAMES: dict[Stage, dict[Kind, Stage]] = {
    Stage.SILENT: {Kind.HELLO: Stage.OPEN},
    Stage.OPEN: {
        Kind.DATA: Stage.OPEN,
        Kind.PING: Stage.OPEN,
        Kind.PONG: Stage.OPEN,
        Kind.BEAT: Stage.OPEN,
        Kind.BYE: Stage.GONE,
    },
    Stage.GONE: {},
    Stage.BROKEN: {},
}
"""Which frames a direction carries in each stage, and the stage after them."""
