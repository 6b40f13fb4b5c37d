import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.lab.wire.flows import FIN, RST, SYN
from deadpeer.lab.wire.frames import ACK, VNET, Segment, checksum

MACS = bytes(range(12))
ENDS = {
    4: (bytes([192, 0, 2, 2]), bytes([198, 51, 100, 2])),
    6: (bytes(15) + b"\x02", bytes(15) + b"\x03"),
}


def frame(version, flags=ACK, data=b"", *, protocol=6, options=b"", seq=7, ack=9):
    """Return a whole frame as a packet socket gives it, padding and all."""
    source, target = ENDS[version]
    offset = (20 + len(options)) // 4 << 4
    tcp = struct.pack("!HHIIBBHHH", 1000, 80, seq, ack, offset, flags, 0, 0, 0)
    tcp += options + data
    if version == 4:
        kind, rest = b"\x08\x00", source + target + tcp
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, protocol, 0)
    else:
        kind, rest = b"\x86\xdd", source + target + tcp
        head = struct.pack("!IHBB", 6 << 28, len(tcp), protocol, 64)
    return bytes(VNET) + MACS + kind + head + rest + bytes(6)


def read(data):
    """Return the segment that has to be in a frame."""
    found = Segment.read(data)
    assert found is not None
    return found


@pytest.mark.parametrize("version", [4, 6])
def test_a_segment_is_read_with_its_ends_numbers_and_length(version):
    source, target = ENDS[version]
    found = read(frame(version, data=b"hello", options=bytes(12)))

    assert found == Segment(
        ethernet=MACS + (b"\x08\x00" if version == 4 else b"\x86\xdd"),
        source=source + struct.pack("!H", 1000),
        target=target + struct.pack("!H", 80),
        flags=ACK,
        sequence=7,
        acknowledged=9,
        length=5,
    )


@pytest.mark.parametrize("version", [4, 6])
def test_a_reset_goes_back_with_the_number_that_is_expected(version):
    asked = read(frame(version, data=b"hello"))
    answer = asked.reset()
    found = read(answer)

    assert (found.source, found.target) == (asked.target, asked.source)
    assert found.ethernet[:12] == MACS[6:] + MACS[:6]
    assert found.flow == asked.flow
    assert (found.flags, found.sequence, found.length) == (RST, 9, 0)
    addresses = found.source[:-2] + found.target[:-2]
    tcp = answer[-20:]
    assert checksum(addresses + struct.pack("!II", 20, 6) + tcp) == b"\0\0"
    if version == 4:
        assert checksum(answer[VNET + 14 : -20]) == b"\0\0"


@pytest.mark.parametrize(("flags", "counted"), [(0, 5), (SYN, 6), (SYN | FIN, 7)])
def test_what_acknowledges_nothing_is_reset_by_what_it_sent(flags, counted):
    found = read(read(frame(4, flags, b"hello")).reset())

    assert found.flags == RST | ACK
    assert (found.sequence, found.acknowledged) == (0, 7 + counted)


def test_what_is_no_tcp_is_none_of_its_business():
    fragment = bytearray(frame(4))
    fragment[VNET + 14 + 7] = 8

    assert Segment.read(frame(4, protocol=17)) is None
    assert Segment.read(frame(6, protocol=58)) is None
    assert Segment.read(bytes(fragment)) is None
    assert Segment.read(bytes(VNET) + MACS + b"\x08\x06" + bytes(28)) is None


@given(st.binary(max_size=100), st.sampled_from([4, 6]), st.integers(0, 90))
def test_nonsense_is_no_segment_or_one_that_can_be_answered(data, version, kept):
    for nonsense in (data, frame(version)[:kept] + data):
        found = Segment.read(nonsense)

        assert found is None or Segment.read(found.reset()) is not None
