"""Which row a system gets, told by what it says of itself."""

import sys

import pytest

from deadpeer.errors import UnsupportedError
from deadpeer.kernel.current_platform import platform_of, this_platform
from deadpeer.platforms import PLATFORMS

# What these systems really report: sys.platform, uname's release and version.
REPORTS = [
    ("linux", {}, "linux"),
    ("android", {}, "linux"),
    ("darwin", {}, "macos"),
    ("win32", {"build": 22631}, "windows"),
    ("win32", {"build": 16299}, "windows"),
    ("win32", {"build": 16298}, "windows-before-1709"),
    ("win32", {"build": 9600}, "windows-before-1709"),
    ("freebsd14", {"release": "14.1-RELEASE"}, "freebsd"),
    ("netbsd10", {}, "netbsd"),
    ("openbsd7", {}, "openbsd"),
    ("dragonfly6", {"release": "6.4-RELEASE"}, "dragonfly"),
    ("dragonfly5", {"release": "5.8-RELEASE"}, "dragonfly"),
    ("dragonfly5", {"release": "5.6-RELEASE"}, "dragonfly-before-5.8"),
    ("sunos5", {"release": "5.11", "version": "11.4.42.111.0"}, "solaris"),
    ("sunos5", {"release": "5.11", "version": "11.3"}, "solaris-before-11.4"),
    (
        "sunos5",
        {"release": "5.10", "version": "Generic_147147-26"},
        "solaris-before-11.4",
    ),
    ("sunos5", {"release": "5.11", "version": "illumos-9c1fb8d"}, "illumos"),
    ("sunos5", {"release": "5.11", "version": "joyent_20240111T000000Z"}, "illumos"),
    ("sunos5", {"release": "5.11", "version": "omnios-r151050-af2b1e4"}, "illumos"),
]


@pytest.mark.parametrize(("system", "said", "name"), REPORTS)
def test_a_system_gets_its_row(system, said, name):
    assert platform_of(system, **said).name == name


def test_every_row_is_some_systems():
    assert {name for _, _, name in REPORTS} == {row.name for row in PLATFORMS}


def test_a_system_without_a_row_is_told_which_there_are():
    with pytest.raises(UnsupportedError, match="plan9") as caught:
        platform_of("plan9")
    assert "linux" in caught.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux has it")
def test_this_kernel_knows_the_options_that_the_row_is_left_with():
    import socket

    row = this_platform()

    assert row.name == "linux"
    assert set(row.options) | set(row.absent) == set(row.options) | {"rto_max"} - set(
        row.options
    )
    with socket.socket() as sock:
        for option in row.options.values():
            sock.getsockopt(option.level, option.number)


def test_an_option_that_the_kernel_does_not_know_is_moved_to_what_is_absent():
    import dataclasses

    from deadpeer.kernel.current_platform import _without_unknown
    from deadpeer.platforms import LINUX, Option

    newer = Option(name="TCP_NEWER", number=9999, lowest=1, highest=2, since="Linux 99")
    row = dataclasses.replace(LINUX, options={**LINUX.options, "rto_max": newer})

    seen = _without_unknown(row)
    if sys.platform == "linux":
        assert set(LINUX.options) - set(seen.options) == {"rto_max"}
    assert seen.absent["rto_max"] == "nothing: TCP_NEWER needs Linux 99"
