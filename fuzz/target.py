"""
What the fuzz targets share: seeded nonsense, and a judge of what comes of it.

The invariant of every target: whatever is fed in either works or ends in an
error of the package's own tree; never in anything else, and never in a hang.
"""

import argparse
import random
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from deadpeer.errors import DeadPeerError

SLOW = 2.0  # seconds of work for one input; all of them are small

ODD_NUMBERS = (
    *(0, 1, -1, 2, 127, 128, 255, 32767, 32768, 2**31 - 1, 2**31, 2**63, 10**400),
    *(0.0, -0.0, 0.5, 1e-9, 1e-320, 1e308, float("inf"), float("-inf"), float("nan")),
)
ODD_THINGS: tuple[object, ...] = (
    None,
    True,
    False,
    "",
    "10",
    b"10",
    "ten",
    [],
    {},
    object(),
    1j,
    print,
)


def anything(rng: random.Random) -> Any:
    """Return a number, or something that is none."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(ODD_NUMBERS)
    if kind < 0.6:
        return rng.choice(ODD_THINGS)
    if kind < 0.8:
        return rng.randrange(-3, 40_000)
    return rng.uniform(-1.0, 1e5) ** rng.choice((1, 2))


def mangled(rng: random.Random, seeds: tuple[str, ...]) -> str:
    """Return a text that resembles the seeds, with parts cut, doubled and replaced."""
    text = rng.choice(seeds)
    for _ in range(rng.randrange(8)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.randrange(6))
        piece = rng.choice(
            (
                "",
                text[start:end] * 2,
                rng.choice(seeds),
                chr(rng.randrange(0x180)),
                rng.choice(("\0", "\r", "\ud800", "=", "-", ".", "/", "[", "]", "*")),
            )
        )
        text = text[:start] + piece + text[end:]
    return text


def run(check: Callable[[random.Random], object]) -> None:
    """
    Call *check* many times; stop at the first input that breaks the invariant.

    Each input has a seed of its own, which is printed if it breaks.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="how many inputs")
    parser.add_argument("--seed", type=int, default=0, help="the first input")
    given = parser.parse_args()
    warnings.simplefilter("error")  # a warning is a word to the user, unasked
    for seed in range(given.seed, given.seed + given.runs):
        began = time.process_time()
        try:
            check(random.Random(seed))
        except DeadPeerError as error:
            if not str(error):
                sys.exit(f"an error without a word: --seed {seed} --runs 1")
        except Exception:  # noqa: BLE001 - the very thing we look for
            traceback.print_exc()
            sys.exit(f"broken by: {sys.argv[0]} --seed {seed} --runs 1")
        if time.process_time() - began > SLOW:
            sys.exit(f"slow: {sys.argv[0]} --seed {seed} --runs 1")
    print(f"{sys.argv[0]}: {given.runs} inputs, nothing broken")
