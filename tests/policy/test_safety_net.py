"""The net beneath a heartbeat: it is there, and never decides first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.platforms import LINUX, PLATFORMS
from deadpeer.policy import Heartbeat, State, assess
from deadpeer.policy.safety_net import safety_net

# Two hours and more are the longest that the kernel's own numbers have room for, and
# its longest pause of 120 s lets a line be silent for nine minutes, net or not.
seconds = st.floats(0.1, 8_000)


@given(seconds, st.floats(0.1, 500))
def test_whom_the_heartbeat_forgives_the_net_forgives(interval, timeout):
    heartbeat = Heartbeat(interval=interval, timeout=timeout)
    net = safety_net(heartbeat, LINUX)
    found = assess(net, platform=LINUX, defaults=LINUX.defaults)
    for bound in found.bounds:
        if bound.state is not State.CONNECTING:  # nothing is set before that is over
            assert bound.survives >= heartbeat.timeout, bound


@given(seconds, seconds)
def test_a_heartbeat_that_works_is_disturbed_by_no_probe(interval, timeout):
    heartbeat = Heartbeat(interval=interval, timeout=timeout)
    net = safety_net(heartbeat, LINUX)
    assert (net.idle or 0) >= heartbeat.detection * (1 - 1e-9)
    assert net.user_timeout is None


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda row: row.name)
@pytest.mark.parametrize("interval", [0.1, 20.0, 1e8])
def test_every_platform_takes_what_it_is_given(platform, interval):
    net = safety_net(Heartbeat(interval=interval, timeout=0.1), platform)
    assert net.on
    net.in_units(platform)
