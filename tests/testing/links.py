"""Links to try things on, and a reader that reads at once."""

import random
from collections.abc import Callable

from deadpeer.testing import LinkModel, Shape, Side


def dice(seed: int) -> Callable[[], float]:
    return random.Random(seed).random  # noqa: S311 - it has to repeat


def link_of(shape: Shape | None = None, **settings) -> LinkModel:
    settings.setdefault("chance", dice(1))
    return LinkModel(shape, now=0.0, **settings)


def drain(link: LinkModel, side: Side, *, until: float = 1e6) -> dict[float, bytes]:
    """Read at once whatever arrives, and say what came when."""
    came: dict[float, bytes] = {}
    while (now := link.next_at) <= until:
        link.advance(now=now)
        data = link.kernels[side].read(1 << 20, now=now)
        if data:
            instant = round(now, 9)
            came[instant] = came.get(instant, b"") + data
    return came
