"""The filter against a plain statement of what it is for, for any call at all."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.classic_bpf_machine import executed

from deadpeer.kernel.call_filter import (
    MACHINES,
    SOCKETCALLS,
    Call,
    Machine,
    Way,
    call_filter,
)

ALLOW, NOTIFY, SUCCEED = 0x7FFF0000, 0x7FC00000, 0x00050000
FASTOPEN = 0x20000000
PINNED = ((1, 9), (6, 4), (6, 5), (6, 6), (6, 18))

ROWS = MACHINES.values()
KNOWN = sorted(
    {
        *(number for row in ROWS for _, number in row.calls),
        *(number for row in ROWS for abi in row.abis for number in abi.setsockopt),
    }
)
numbers = st.sampled_from(KNOWN) | st.integers(0, 2**32 - 1)
architectures = st.sampled_from(
    [abi.architecture for row in ROWS for abi in row.abis]
) | st.integers(0, 2**32 - 1)
# A register is 64 bits wide; where the kernel takes an int, its upper half is anything.
small = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 18, 262, FASTOPEN, 0x80801])
registers = st.builds(
    lambda low, high: low | high << 32, small | st.integers(0, 2**32 - 1), small
)
arguments = st.tuples(*[registers] * 6)


def data(architecture: int, number: int, given: tuple[int, ...]) -> bytes:
    """Return struct seccomp_data."""
    return struct.pack("=IIQ6Q", number, architecture, 0, *given)


def wanted(
    row: Machine,
    way: Way,
    pinned: tuple[tuple[int, int], ...],
    call: tuple[int, int, tuple[int, ...]],
) -> int:
    """Say in plain Python what is to become of a call."""
    architecture, number, given = call
    low = [register & 0xFFFFFFFF for register in given]
    abi = next((abi for abi in row.abis if abi.architecture == architecture), None)
    if abi is None:
        return ALLOW
    if number in abi.setsockopt and (low[1], low[2]) in pinned:
        return SUCCEED
    known = abi.calls.get(number)
    if way is Way.HAND_OUT:
        tcp = low[0] in (2, 10) and low[1] & 0xF == 1 and low[2] in (0, 6)
        return NOTIFY if known is Call.SOCKET and tcp else ALLOW
    stops = {
        Call.CONNECT: True,
        Call.LISTEN: True,
        Call.SEND: number in abi.flags and bool(low[abi.flags[number]] & FASTOPEN),
        Call.MANY: low[0] in SOCKETCALLS,
    }
    return NOTIFY if known is not None and stops.get(known) else ALLOW


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("pinned", [(), PINNED], ids=["unpinned", "pinned"])
@given(call=st.tuples(architectures, numbers, arguments))
def test_the_filter_stops_what_it_is_for_and_nothing_else(name, way, pinned, call):
    row = MACHINES[name]

    verdict = executed(call_filter(row, way, pinned=pinned), data(*call))

    assert verdict == wanted(row, way, pinned, call)


@pytest.mark.parametrize("name", MACHINES)
def test_every_send_says_where_its_flags_are(name):
    for abi in MACHINES[name].abis:
        sends = {number for number, call in abi.calls.items() if call is Call.SEND}

        assert sends == set(abi.flags)


def test_the_calls_of_a_64_bit_program_on_x86_are_those_of_the_kernels_table():
    native, old = 0xC000003E, 0x40000003
    calls = MACHINES["x86_64"].calls

    assert calls[native, 42] is Call.CONNECT
    assert calls[native, 0x40000000 | 42] is Call.CONNECT
    assert calls[native, 50] is Call.LISTEN
    assert calls[old, 362] is Call.CONNECT
    assert calls[old, 102] is Call.MANY
    assert (native, 43) not in calls  # accept: it takes over what its listener has
