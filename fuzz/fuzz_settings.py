"""Settings and promises of every kind of nonsense."""

import random

from target import anything, run

from deadpeer.platforms import PLATFORMS
from deadpeer.policy import Keepalive, assess, plan

FIELDS = ("idle", "interval", "probes", "user_timeout", "rto_max", "on")


def check(rng: random.Random) -> None:
    platform = rng.choice(PLATFORMS)
    if rng.random() < 0.2:
        rtt = rng.choice((None, anything(rng)))
        plan(within=anything(rng), rtt=rtt, platform=platform)
        return
    fields = rng.sample(FIELDS, rng.randrange(1, len(FIELDS)))
    keepalive = Keepalive(**{name: anything(rng) for name in fields})
    assess(keepalive, platform=platform)
    units = keepalive.in_units(platform)
    assert all(isinstance(value, int) for value in units.values())
    assert keepalive.rounded(platform).in_units(platform) == units


if __name__ == "__main__":
    run(check)
