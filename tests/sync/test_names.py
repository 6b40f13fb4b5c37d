"""The same names for threads and for asyncio, but for a list of differences with reasons."""

import inspect
import re

import pytest

from deadpeer import aio, sync

ONLY_AIO = {
    "Blocked": "what a Watchdog tells",
    "Connecting": "a call waits by itself; nothing is left to be awaited",
    "Watchdog": "it watches an event loop of the program's, and here is none",
    "open_connection": "for blocking sockets it is deadpeer.create_connection",
}

DRIVING = "drives the judgement, which is asyncio's alone"
PROTOCOL = "an asyncio protocol"
INSIDE = "would be used on the loop's own thread only"

ONLY_AIO_METHODS = {
    "add": "a server's own business",
    "backoff": "given to reconnecting",
    "chance": "given to reconnecting",
    "connecting": "there is no Connecting",
    "connection_lost": PROTOCOL,
    "due": DRIVING,
    "on_retry": "given to reconnecting",
    "remove": "a server's own business",
    "slept": DRIVING,
    "transport": INSIDE,
}

# What an aio class inherits from its workings is asked by programs, too.
JUDGING = {"changes", "lost", "verdict", "wait_dead"}
INHERITED = {
    "Connection": {"evidence", "peer", "rtt", "state"},
    "Guard": {"evidence", "rtt", "state"} | JUDGING,
    "Watch": JUDGING,
}

ONLY_SYNC_METHODS = {
    "descriptors": "a child of fork puts them away",
    "leave": "the interpreter's end",
}

# A task is cancelled from outside; a thread has to say how long it waits.
TIMEOUTS = {"recv", "wait_closed", "wait_dead"}

SHARED = sorted(set(aio.__all__) & set(sync.__all__))
CLASSES = [name for name in SHARED if inspect.isclass(getattr(aio, name))]
FUNCTIONS = [name for name in SHARED if name not in CLASSES]


def offered(kind):
    """Return what a class of asyncio offers by itself."""
    own = {name for name in vars(kind) if not name.startswith("_")}
    return own | INHERITED.get(kind.__name__, set()) | attributes(kind)


def shown(kind):
    """Return what a class for threads shows."""
    return {name for name in dir(kind) if not name.startswith("_")} | attributes(kind)


def attributes(kind):
    """Return the attributes of its instances, as its docstring lists them."""
    part = (
        (inspect.getdoc(kind) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    )
    return set(re.findall(r"^ {4}(\w+):", part, re.MULTILINE))


def parameters(function):
    """Names, kinds and defaults; what types they have differs, as it should."""
    return {
        name: (parameter.kind, parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"  # of which a compiled method says that it has no name
    }


def test_the_names_are_the_same_but_for_the_list():
    assert set(aio.__all__) - set(sync.__all__) == set(ONLY_AIO)
    assert set(sync.__all__) <= set(aio.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_the_same_parameters(name):
    assert parameters(getattr(sync, name)) == parameters(getattr(aio, name))


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_offers_the_same_but_for_the_list(name):
    here, there = shown(getattr(sync, name)), offered(getattr(aio, name))

    assert there - here <= set(ONLY_AIO_METHODS)
    assert {one for one in here if not hasattr(getattr(aio, name), one)} <= (
        set(ONLY_SYNC_METHODS) | there
    )


def test_the_list_has_nothing_that_is_the_same():
    there = set().union(*(offered(getattr(aio, name)) for name in CLASSES))
    here = set().union(*(shown(getattr(sync, name)) for name in CLASSES))

    assert set(ONLY_AIO_METHODS) <= there - here
    assert set(ONLY_SYNC_METHODS) <= here


@pytest.mark.parametrize("name", CLASSES)
def test_a_method_takes_the_same_parameters(name):
    here, there = getattr(sync, name), getattr(aio, name)
    for method in (shown(here) & offered(there)) - set(ONLY_SYNC_METHODS):
        if not inspect.isfunction(getattr(here, method, None)):
            assert not inspect.isfunction(getattr(there, method, None))
            continue
        expected = parameters(getattr(there, method))
        found = parameters(getattr(here, method))
        if method in TIMEOUTS:
            assert found.pop("timeout")[1] is None
        assert found == expected, method
