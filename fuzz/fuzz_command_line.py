"""Words of the command line: durations, addresses, process numbers."""

import random

import click
from target import mangled, run

from deadpeer.cli.durations import SECONDS, in_words
from deadpeer.cli.target import Address, parse_target

DURATIONS = ("10", "0.5", "500ms", "2min", "1h", "1e-3s", "-3 d")
TARGETS = ("4711", "127.0.0.1:80", "[::1]:5432", "db.example:5432", "[fe80::1%eth0]:1")


def check(rng: random.Random) -> None:
    if rng.random() < 0.5:
        duration(mangled(rng, DURATIONS))
        return
    found = parse_target(mangled(rng, TARGETS))
    if isinstance(found, Address):
        assert parse_target(str(found)) == found


def duration(text: str) -> None:
    try:
        seconds = SECONDS.convert(text, None, None)
    except click.UsageError:
        return  # said in one line, and exits with 2
    if seconds >= 0:
        assert in_words(seconds)


if __name__ == "__main__":
    run(check)
