"""Configuration files of sysctl, as nobody would write them."""

import random

from target import mangled, run

from deadpeer.kernel.sysctl_files import matches, parse, values_of

SEEDS = (
    "net.ipv4.tcp_keepalive_time = 60\n",
    "-net/ipv4/tcp_keepalive_intvl=10 # no comment\n; a comment\n",
    "net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n",
    "net.ipv4.conf.eth0/100.tcp_[a-z]* = 1\r\n\n=\n",
    "kernel.domainname = example.com = 1\n",
)


def check(rng: random.Random) -> None:
    text = mangled(rng, SEEDS)
    parsed = parse(text)
    numbers = [line.number for line in parsed.lines]
    numbers += [bad.number for bad in parsed.malformed]
    assert len(set(numbers)) == len(numbers)
    for line in parsed.lines:
        assert line.key
        matches(line.key, "net/ipv4/tcp_keepalive_time", across=rng.random() < 0.5)
    values_of(text)


if __name__ == "__main__":
    run(check)
