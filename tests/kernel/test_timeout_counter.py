"""The count of connections that the kernel gave up, of one network namespace."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.neighbours import paired_neighbour

from deadpeer.kernel.namespaces import find_namespace, in_namespace
from deadpeer.kernel.timeout_counter import TimeoutCounter, given_up

PATIENCE = 15.0


@pytest.mark.netns
def test_a_connection_that_times_out_counts_in_its_namespace_and_no_other():
    here = TimeoutCounter()
    with paired_neighbour() as child:
        child.told("[a[0].setsockopt(*o) for o in ((1, 9, 1), (6, 4, 1), (6, 5, 1))]")
        child.told("a[0].setsockopt(6, 6, 1)")
        there = in_namespace(find_namespace(str(child.pid)), TimeoutCounter)
        before, own = there.read(), here.read()
        assert before == 0
        child.told("loopback(False)")
        end = time.monotonic() + PATIENCE
        while there.read() == 0 and time.monotonic() < end:
            time.sleep(0.05)  # for the kernel's timer, which nobody announces
        assert there.read() == 1
        there.close()
    assert own is not None
    here.close()


def test_what_is_closed_tells_nothing():
    counter = TimeoutCounter()
    counter.close()
    counter.close()

    assert counter.read() is None


def test_the_count_of_this_system_is_a_number():
    assert given_up(Path("/proc/self/net/netstat").read_bytes()) is not None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"TcpExt: A\nTcpExt: 1\n",
        b"TcpExt: TCPAbortOnTimeout\n",
        b"TcpExt: A TCPAbortOnTimeout\nTcpExt: 1\n",
        b"TcpExt: TCPAbortOnTimeout\nTcpExt: x\n",
        b"IpExt: TCPAbortOnTimeout\nIpExt: 3\n",
    ],
)
def test_what_does_not_say_it_is_no_number(text):
    assert given_up(text) is None


@given(st.binary())
def test_no_bytes_raise(data):
    given_up(data)
