"""
Every row against a kernel: the fake one of each system, and the real one.

The checks are the same. What only a fake can tell (the order of the writes, a
failure at each step) is asked of the fakes.
"""

import errno
import socket
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fake_kernel import FakeSocket

from deadpeer.errors import (
    AccessDenied,
    ConfigError,
    KernelRefused,
    NotTcp,
    UnsupportedError,
)
from deadpeer.kernel.current_platform import this_platform
from deadpeer.kernel.registers import change, put_back, read, steps_for
from deadpeer.platforms import (
    ILLUMOS,
    LINUX,
    MACOS,
    NETBSD,
    OPENBSD,
    PLATFORMS,
    WINDOWS,
    WINDOWS_BEFORE_1709,
    Option,
    Platform,
)
from deadpeer.policy import Keepalive

linux = pytest.mark.skipif(sys.platform != "linux", reason="the real Linux row")
by_row = pytest.mark.parametrize("row", PLATFORMS, ids=lambda row: row.name)


def settings_of(row: Platform) -> st.SearchStrategy[Keepalive]:
    """Settings that a row takes: each part of its options, over their ranges."""
    values = {
        name: st.integers(option.lowest, option.highest)
        | st.sampled_from([option.lowest, option.highest])
        for name, option in row.options.items()
    }
    together = {name: values.pop(name) for name in row.whole}
    units = st.fixed_dictionaries({}, optional=values)
    if together:
        whole = st.fixed_dictionaries(together)
        units = st.builds(
            lambda some, both: {**some, **both}, units, whole | st.just({})
        )
    return st.builds(
        lambda given, on: Keepalive.from_units(given, platform=row, on=on),
        units,
        st.none() | st.booleans(),
    )


row_and_settings = st.sampled_from(PLATFORMS).flatmap(
    lambda row: st.tuples(st.just(row), settings_of(row))
)


def check_is_taken_and_read_back(sock, row, keepalive):
    """Hold any kernel to it: what is written is what is read, rounded up."""
    before = read(sock, row)
    change(sock, steps_for(keepalive, row), row, before=before)
    after = read(sock, row)

    wanted = keepalive.in_units(row)
    for name, held in after.units.items():
        least = wanted.get(name, before.units[name])
        grain = row.options[name].grain if name in wanted else 0
        assert least <= held <= least + grain
    assert after.on == (before.on if keepalive.wants_on is None else keepalive.wants_on)
    assert set(after.unread) == set(before.unread)


@given(row_and_settings)
def test_each_systems_kernel_takes_what_its_row_allows(drawn):
    row, keepalive = drawn
    check_is_taken_and_read_back(FakeSocket(row), row, keepalive)


@linux
@given(settings_of(LINUX))
def test_the_real_kernel_takes_what_the_linux_row_allows(keepalive):
    row = this_platform()
    for family in (socket.AF_INET, socket.AF_INET6):
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            check_is_taken_and_read_back(sock, row, keepalive)


@linux
@pytest.mark.parametrize("name", LINUX.options)
def test_the_real_kernel_refuses_what_is_just_outside_of_the_row(name):
    option = this_platform().options[name]
    outside = {option.lowest - 1, option.highest + 1} - (
        {0} if option.zero_is_off else set()
    )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        for value in outside:
            signed = value - 2**32 if value >= 2**31 else value
            with pytest.raises(OSError, match="Invalid argument"):
                sock.setsockopt(option.level, option.number, signed)


@given(row_and_settings)
def test_the_switch_is_written_first_and_what_cannot_be_undone_last(drawn):
    row, keepalive = drawn
    sock = FakeSocket(row)
    change(sock, steps_for(keepalive, row), row, before=read(sock, row))

    if keepalive.wants_on is not None:
        assert sock.writes[0] == "on"
    # Its write arms the timer, which goes by what is there when it fires.
    single = [name for name in sock.writes if name not in row.whole]
    assert "idle" not in single[:-1]
    whole = [name for name in sock.writes if name in row.whole]
    assert sock.writes[len(sock.writes) - len(whole) :] == whole


@given(
    row_and_settings, st.sampled_from([errno.EINVAL, errno.EPERM, errno.ENOPROTOOPT])
)
def test_a_failure_at_any_step_puts_back_what_was_there(drawn, number):
    row, keepalive = drawn
    steps = steps_for(keepalive, row)
    for failing in range(1, len(steps) + 1):
        sock = FakeSocket(row, fail_at=failing, fail_with=number)
        # As a socket of a program that has set its own values.
        sock.held = {name: one.lowest for name, one in row.options.items()}
        before = sock.everything()

        with pytest.raises((AccessDenied, KernelRefused, UnsupportedError)) as caught:
            change(sock, steps, row, before=read(sock, row))

        assert sock.everything() == before
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EPERM, AccessDenied),
        (errno.EACCES, AccessDenied),
        (errno.ENOPROTOOPT, UnsupportedError),
        (errno.EOPNOTSUPP, UnsupportedError),
        (10042, UnsupportedError),  # WSAENOPROTOOPT
        (errno.EINVAL, KernelRefused),
        (errno.ENOMEM, KernelRefused),
        (errno.EBADF, NotTcp),
    ],
)
def test_a_refusal_gets_its_own_type(number, kind):
    sock = FakeSocket(LINUX, fail_at=2, fail_with=number)

    with pytest.raises(kind):
        change(
            sock, steps_for(Keepalive(idle=5), LINUX), LINUX, before=read(sock, LINUX)
        )


def test_a_kernel_that_lacks_an_option_is_named_with_the_one_that_has_it():
    sock = FakeSocket(LINUX, fail_at=1, fail_with=errno.ENOPROTOOPT)

    with pytest.raises(
        UnsupportedError, match=r"TCP_RTO_MAX_MS.*Linux 6\.15"
    ) as caught:
        change(
            sock,
            steps_for(Keepalive(rto_max=1), LINUX),
            LINUX,
            before=read(sock, LINUX),
        )
    assert caught.value.option == "TCP_RTO_MAX_MS"
    assert caught.value.platform == "linux"


def test_a_refused_value_is_told_with_its_range():
    sock = FakeSocket(LINUX, fail_at=1)

    with pytest.raises(
        KernelRefused, match=r"TCP_USER_TIMEOUT, 4000.*1 to 2147483647"
    ) as caught:
        change(
            sock,
            steps_for(Keepalive(user_timeout=4), LINUX),
            LINUX,
            before=read(sock, LINUX),
        )
    assert caught.value.errno == errno.EINVAL
    assert caught.value.operation == "setsockopt(TCP_USER_TIMEOUT, 4000)"


def test_a_kernel_that_takes_a_value_and_holds_another_is_not_believed():
    sock = FakeSocket(LINUX, lies={"interval": 75})
    before = sock.everything()

    with pytest.raises(KernelRefused, match="set to 2, and the kernel holds 75"):
        change(
            sock,
            steps_for(Keepalive(idle=5, interval=2), LINUX),
            LINUX,
            before=read(sock, LINUX),
        )
    assert sock.everything() == before


def test_an_interruption_half_way_puts_back_too():
    class Interrupted(FakeSocket):
        def setsockopt(self, level, number, value):
            if (level, number) == (6, 6) and value == 3:
                raise KeyboardInterrupt
            super().setsockopt(level, number, value)

    sock = Interrupted(LINUX)
    before = sock.everything()

    with pytest.raises(KeyboardInterrupt):
        change(
            sock,
            steps_for(Keepalive(idle=5, probes=3), LINUX),
            LINUX,
            before=read(sock, LINUX),
        )
    assert sock.everything() == before


@linux
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        # A number that no kernel knows, and a range wider than the kernel's.
        (Option(name="TCP_NOBODY", number=9999, lowest=1, highest=9), UnsupportedError),
        (Option(name="TCP_KEEPCNT", number=6, lowest=1, highest=999), KernelRefused),
    ],
)
def test_the_real_kernel_refuses_half_way_and_everything_is_put_back(
    family, wrong, kind
):
    row = replace(LINUX, options={**LINUX.options, "probes": wrong})
    steps = steps_for(
        Keepalive(idle=5, interval=2, probes=wrong.highest, user_timeout=9), row
    )
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        # Read by the true row: the wrong one cannot be read.
        before = read(sock, LINUX)
        # The probes go last but for the user timeout; idle and interval are set.
        with pytest.raises(kind):
            change(sock, steps, row, before=before)
        assert read(sock, LINUX) == before


def test_old_windows_takes_idle_and_interval_together_only():
    with pytest.raises(ConfigError, match="interval is missing"):
        steps_for(Keepalive(idle=5), WINDOWS_BEFORE_1709)
    with pytest.raises(ConfigError, match="idle is missing"):
        steps_for(Keepalive(interval=5), WINDOWS_BEFORE_1709)


def test_old_windows_is_written_by_one_ioctl_and_says_it_cannot_be_read():
    row = WINDOWS_BEFORE_1709
    sock = FakeSocket(row)
    change(
        sock,
        steps_for(Keepalive(idle=5.0005, interval=1), row),
        row,
        before=read(sock, row),
    )

    assert (sock.held["idle"], sock.held["interval"]) == (5001, 1000)
    assert sock.on
    after = read(sock, row)
    assert set(after.unread) == {"idle", "interval"}
    assert after.keepalive(row).idle is None


def test_old_windows_does_not_hide_that_its_values_cannot_be_put_back():
    row = WINDOWS_BEFORE_1709
    sock = FakeSocket(row)
    before = read(sock, row)
    steps = steps_for(Keepalive(idle=5, interval=1), row)
    change(sock, steps, row, before=before)

    assert set(put_back(sock, steps, row, before=before)) == {"idle", "interval"}
    assert not sock.on


def test_a_kernel_that_does_not_read_back_is_believed():
    sock = FakeSocket(NETBSD, mute=True)
    steps = steps_for(Keepalive(idle=5, interval=1, probes=3), NETBSD)
    change(sock, steps, NETBSD, before=read(sock, NETBSD))

    assert sock.held == {"idle": 5, "interval": 1, "probes": 3}
    assert read(sock, NETBSD).units == {}


def test_openbsd_has_the_switch_and_nothing_else():
    sock = FakeSocket(OPENBSD)
    change(
        sock,
        steps_for(Keepalive(on=True), OPENBSD),
        OPENBSD,
        before=read(sock, OPENBSD),
    )
    assert sock.on
    with pytest.raises(UnsupportedError):
        steps_for(Keepalive(idle=5), OPENBSD)


def test_macos_rounds_up_to_seconds():
    sock = FakeSocket(MACOS)
    steps = steps_for(Keepalive(idle=4.2, user_timeout=3.001), MACOS)
    change(sock, steps, MACOS, before=read(sock, MACOS))

    assert sock.held["idle"] == 5
    assert sock.held["user_timeout"] == 4


@pytest.mark.parametrize(("held", "nearest"), [(40_000, 32_767), (-1, 32_767), (0, 1)])
def test_a_systems_setting_that_no_option_takes_becomes_the_nearest(held, nearest):
    # tcp_keepalive_time takes more than TCP_KEEPIDLE does.
    sock = FakeSocket(LINUX, held={"idle": held})
    before = read(sock, LINUX)
    steps = steps_for(Keepalive(idle=5), LINUX)
    change(sock, steps, LINUX, before=before)

    assert put_back(sock, steps, LINUX, before=before) == ("idle",)
    assert sock.held["idle"] == nearest


def test_a_failure_says_what_it_could_not_put_back():
    sock = FakeSocket(LINUX, held={"idle": 40_000}, fail_at=3)

    with pytest.raises(KernelRefused, match="could not put back idle"):
        change(
            sock,
            steps_for(Keepalive(idle=5, interval=1), LINUX),
            LINUX,
            before=read(sock, LINUX),
        )


def test_what_no_setting_can_say_is_left_out_of_the_value():
    # illumos shows zero for an interval and a count that were never set.
    reading = read(FakeSocket(ILLUMOS, held={"interval": 0, "probes": 0}), ILLUMOS)

    keepalive = reading.keepalive(ILLUMOS)
    assert keepalive.interval is None
    assert keepalive.probes is None
    assert keepalive.idle == 7200


def test_windows_minus_one_is_no_user_timeout():
    reading = read(FakeSocket(WINDOWS, held={"user_timeout": 2**32 - 1}), WINDOWS)

    assert reading.units["user_timeout"] == -1
    assert reading.keepalive(WINDOWS).user_timeout == 0


@by_row
def test_reading_changes_nothing(row):
    sock = FakeSocket(row)
    before = sock.everything()
    read(sock, row)
    assert sock.everything() == before
    assert sock.writes == []
