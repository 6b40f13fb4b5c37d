import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadpeer.lab.wire import flows
from deadpeer.lab.wire.flows import FIN, RST, SYN, Flow, FlowTable, Verdict

US, THEM, OTHER = b"\x01\x00\x07", b"\x02\x00\x50", b"\x03\x00\x50"
FLOW = Flow.between(US, THEM)


@pytest.fixture
def box():
    return FlowTable(idle=10.0)


def test_a_flow_is_the_same_both_ways():
    assert Flow.between(THEM, US) == FLOW
    assert Flow.between(US, OTHER) != FLOW


def test_what_began_here_passes_and_what_did_not_is_dropped(box):
    assert box.admit(FLOW, 0, now=0.0) is Verdict.DROP
    assert box.admit(FLOW, SYN, now=1.0) is Verdict.PASS
    assert box.admit(FLOW, 0, now=2.0) is Verdict.PASS
    assert box.admit(Flow.between(US, OTHER), 0, now=2.0) is Verdict.DROP


@given(st.lists(st.floats(0, 20), min_size=1, max_size=30))
def test_a_flow_is_known_until_the_first_silence_that_is_too_long(pauses):
    box, now, known = FlowTable(idle=10.0), 0.0, True
    box.admit(FLOW, SYN, now=now)
    for pause in pauses:
        before, now = now, now + pause
        known = known and now - before <= 10.0

        assert box.admit(FLOW, 0, now=now) is (Verdict.PASS if known else Verdict.DROP)


def test_what_is_dropped_does_not_keep_a_flow_known(box):
    box.admit(FLOW, SYN, now=0.0)

    assert [box.admit(FLOW, 0, now=t) for t in (10.1, 10.2)] == [Verdict.DROP] * 2
    assert box.admit(FLOW, SYN, now=11.0) is Verdict.PASS


def test_a_box_that_speaks_resets_but_not_a_reset():
    box = FlowTable(idle=10.0, resets=True)

    assert box.admit(FLOW, 0, now=0.0) is Verdict.RESET
    assert box.admit(FLOW, FIN, now=0.0) is Verdict.RESET
    assert box.admit(FLOW, RST, now=0.0) is Verdict.DROP


def test_a_reset_passes_and_ends_the_flow(box):
    box.admit(FLOW, SYN, now=0.0)

    assert box.admit(FLOW, RST, now=1.0) is Verdict.PASS
    assert box.admit(FLOW, 0, now=1.0) is Verdict.DROP


def test_all_flows_can_be_forgotten_at_once(box):
    box.admit(FLOW, SYN, now=0.0)
    box.forget()

    assert box.admit(FLOW, 0, now=0.1) is Verdict.DROP


def test_the_flows_of_one_host_can_be_forgotten(box):
    other = Flow.between(US, OTHER)
    for flow in (FLOW, other):
        box.admit(flow, SYN, now=0.0)
    box.forget(OTHER[:-2])

    assert box.admit(FLOW, 0, now=0.1) is Verdict.PASS
    assert box.admit(other, 0, now=0.1) is Verdict.DROP


def test_memory_is_bounded_and_the_longest_silent_goes_first(box, monkeypatch):
    monkeypatch.setattr(flows, "ROOM", 2)
    many = [Flow.between(US, bytes([n])) for n in range(4)]
    for now, flow in enumerate(many):
        box.admit(flow, SYN, now=float(now))

    assert len(box.heard_at) <= 3
    assert box.admit(many[0], 0, now=4.0) is Verdict.DROP
    assert box.admit(many[3], 0, now=4.0) is Verdict.PASS
