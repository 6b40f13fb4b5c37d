"""
Configuration files of sysctl, as nobody would write them.

Any text is parsed or raises ConfigError, and never anything else. What is parsed
is then judged under every rule; a text that claims to be ours is so byte for byte.
"""

import random

from target import mangled, run

from deadpeer.errors import ConfigError
from deadpeer.kernel.sysctl.files import file_text, matches, parse, values_of
from deadpeer.kernel.sysctl.order import DIRECTORIES, SYSCTL_CONF, ConfigFile, Rule
from deadpeer.kernel.sysctl.rules import outcome
from deadpeer.kernel.sysctl.table import SETTINGS, number_as_kernel_reads

SEEDS = (
    "net.ipv4.tcp_keepalive_time = 60\n",
    "-net/ipv4/tcp_keepalive_intvl=10 # no comment\n; a comment\n",
    "net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n",
    "net.ipv4.conf.eth0/100.tcp_[a-z]* = 1\r\n\n=\n",
    "*/*/tcp_[!]-]*[--a]?[z-a][[&&b] = 0x10\n",
    "kernel.domainname = example.com = 1\n",
    file_text({"net.ipv4.tcp_keepalive_time": 60}),
)


def check(rng: random.Random) -> None:
    text = mangled(rng, SEEDS)
    read(text, rng)
    values = values_of(text)
    assert values is None or file_text(values) == text
    number_as_kernel_reads(text)
    judge(text, rng)


def read(text: str, rng: random.Random) -> None:
    try:
        parsed = parse(text)
    except ConfigError:
        assert "\0" in text
        return
    numbers = [line.number for line in parsed.lines]
    numbers += [bad.number for bad in parsed.malformed]
    assert len(set(numbers)) == len(numbers)
    for line in parsed.lines:
        assert line.key
        matches(line.key, "net/ipv4/tcp_keepalive_time", across=rng.random() < 0.5)


def judge(text: str, rng: random.Random) -> None:
    files = [
        ConfigFile(path=f"{rng.choice(DIRECTORIES)}/{rng.choice('ab')}.conf", text=text)
        for _ in range(3)
    ]
    files.append(ConfigFile(path=SYSCTL_CONF, text=mangled(rng, SEEDS)))
    row = rng.choice(SETTINGS)
    rule = rng.choice(list(Rule))
    found = outcome(row.key.replace(".", "/"), files, rule, takes=row.takes)
    assert found.winner is None or found.winner.value is not None


if __name__ == "__main__":
    run(check)
