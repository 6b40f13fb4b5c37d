"""What the two programs do, on a machine of our own; and that the kernel takes them."""

import os
import sys

import pytest
from tests.kernel.bpf_machine import Machine
from tests.own_cgroups import needs_cgroups

from deadpeer.errors import KernelRefused
from deadpeer.kernel import bpf
from deadpeer.kernel.bpf import Hook
from deadpeer.kernel.bpf_programs import LICENCE, guard, keeper
from deadpeer.kernel.bpf_terms import (
    GUARD,
    KEEPER,
    TERMS,
    Counts,
    Terms,
    decode,
    encode,
    settings,
)
from deadpeer.policy import Keepalive

__all__ = ["needs_cgroups"]

WHOLE = Keepalive(idle=4, interval=2, probes=3, user_timeout=3.5, rto_max=1.26)
ALL = [(1, 9, 1), (6, 4, 4), (6, 5, 2), (6, 6, 3), (6, 18, 3500), (6, 44, 1260)]
MADE = {
    Hook.SOCK_OPS: (KEEPER, keeper),
    Hook.SETSOCKOPT: (GUARD, guard),
}


def ran(maker, keepalive: Keepalive = WHOLE, **given) -> tuple[Machine, Counts]:
    """Run a program on a record of its own; return the machine and what it counted."""
    record = bytearray(encode(Terms(keepalive=keepalive)))
    machine = Machine(record=record, **given)
    assert machine.run(maker(settings(keepalive), 7, "little")) == 1  # go on
    terms = decode(bytes(machine.record))
    assert terms
    return machine, terms.counts


@pytest.mark.parametrize(
    ("happened", "counts"),
    [(3, Counts()), (4, Counts(made=1)), (5, Counts(accepted=1))],
)
def test_the_keeper_sets_everything_the_switch_first(happened, counts):
    machine, counted = ran(keeper, context={0: happened})

    assert machine.options == ALL
    assert counted == counts


@pytest.mark.parametrize("happened", [0, 1, 2, 6, 10, 11, 255])
def test_the_keeper_leaves_other_moments_alone(happened):
    machine, counted = ran(keeper, context={0: happened})

    assert machine.options == []
    assert counted == Counts()


def test_the_keeper_sets_only_what_was_chosen():
    machine, _ = ran(keeper, Keepalive(user_timeout=2), context={0: 4})

    assert machine.options == [(6, 18, 2000)]


def test_the_keeper_counts_what_the_kernel_refuses_and_goes_on():
    machine, counted = ran(keeper, context={0: 5}, refused=frozenset({44, 5}))

    assert [number for _, number, _ in machine.options] == [9, 4, 6, 18]
    assert counted == Counts(accepted=1, refused=2)


@pytest.mark.parametrize("protocol", [6, 262])
@pytest.mark.parametrize(("level", "number"), [(level, n) for level, n, _ in ALL])
def test_the_guard_swallows_what_is_kept(level, number, protocol):
    machine, counted = ran(guard, context={24: level, 28: number}, protocol=protocol)

    assert machine.stored == {32: -1}
    assert counted == Counts(swallowed=1)


@pytest.mark.parametrize(
    ("level", "number"), [(6, 1), (6, 9), (1, 4), (1, 7), (41, 26), (0, 9), (6, 13)]
)
def test_the_guard_lets_other_options_pass(level, number):
    machine, counted = ran(guard, context={24: level, 28: number})

    assert machine.stored == {}
    assert counted == Counts()


def test_the_guard_lets_other_sockets_pass():
    machine, counted = ran(guard, context={24: 1, 28: 9}, protocol=17)

    assert machine.stored == {}
    assert counted == Counts()


def test_the_guard_lets_pass_what_is_not_kept():
    machine, _ = ran(guard, Keepalive(idle=5), context={24: 6, 28: 18})

    assert machine.stored == {}


def test_without_a_record_the_keeper_does_nothing():
    machine, _ = ran(keeper, context={0: 4}, has_record=False)

    assert machine.options == []


@pytest.mark.usefixtures("needs_cgroups")
@pytest.mark.parametrize("hook", Hook)
@pytest.mark.parametrize(
    "keepalive", [WHOLE, Keepalive(idle=5), Keepalive(on=True)], ids=str
)
def test_the_kernels_verifier_takes_them(hook, keepalive):
    name, maker = MADE[hook]
    record = bpf.create_record(encode(Terms(keepalive=keepalive)), name=TERMS)
    code = maker(settings(keepalive), record, sys.byteorder)
    program = bpf.load(hook, code, name=name, licence=LICENCE)
    info = bpf.info_of(program)
    os.close(record)
    found = bpf.map_by_id(info.maps[0])

    assert info.name == name
    assert len(info.tag) == 16
    assert decode(bpf.read_record(found)) == Terms(
        keepalive=Keepalive.from_units(keepalive.in_units(), on=True)
    )
    os.close(program)
    os.close(found)


@pytest.mark.usefixtures("needs_cgroups")
def test_a_refusal_carries_what_the_verifier_said():
    code = keeper(settings(WHOLE), 0, sys.byteorder)[:-8]

    with pytest.raises(KernelRefused, match=r"verifier refused.*(exit|fd 0|map)"):
        bpf.load(Hook.SOCK_OPS, code, name=KEEPER, licence=LICENCE)
