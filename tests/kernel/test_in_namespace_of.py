"""Asking in another network namespace, without this process ever moving there."""

import os
import threading
from pathlib import Path

import pytest
from tests.neighbours import as_nobody, neighbour

from deadpeer.errors import AccessDenied, ConfigError
from deadpeer.kernel.namespaces import in_namespace_of
from deadpeer.kernel.procfs import namespace_of
from deadpeer.kernel.sysctl.values import effective_defaults

OURS = os.getpid()


def our_threads() -> int:
    return threading.active_count()


def test_in_our_own_namespace_it_is_a_plain_call():
    me = threading.get_ident()

    assert in_namespace_of(OURS, threading.get_ident) == me


@pytest.mark.netns
def test_the_sysctls_are_those_of_the_other_namespace():
    here = effective_defaults()
    with neighbour(namespace=True) as child:
        child.told("sysctl('tcp_keepalive_time', 31)")

        there = in_namespace_of(child.pid, effective_defaults)

    assert there.idle == 31
    assert effective_defaults() == here


@pytest.mark.netns
def test_this_process_stays_where_it_is():
    ours, threads = namespace_of(OURS), our_threads()
    with neighbour(namespace=True) as child:
        theirs = in_namespace_of(child.pid, Path("/proc/thread-self/ns/net").stat)

        assert theirs.st_ino == namespace_of(child.pid)
    assert namespace_of(OURS) == ours
    assert our_threads() == threads


@pytest.mark.netns
def test_what_is_raised_there_is_raised_here():
    with neighbour(namespace=True) as child, pytest.raises(ZeroDivisionError):
        in_namespace_of(child.pid, lambda: 1 // 0)


def test_there_must_be_such_a_process():
    with pytest.raises(ConfigError, match="no process"):
        in_namespace_of(2**22 + 1, dict)


@pytest.mark.netns
def test_going_there_takes_a_capability(monkeypatch):
    with neighbour(namespace=True) as child:
        namespaces = iter([1, 2])  # different: nobody may read the real numbers

        def refused() -> int:
            monkeypatch.setattr(
                "deadpeer.kernel.namespaces.namespace_of", lambda _pid: next(namespaces)
            )
            try:
                in_namespace_of(child.pid, dict)
            except AccessDenied as error:
                return 0 if error.capability == "CAP_SYS_ADMIN" else 1
            return 2

        assert as_nobody(refused) == 0
