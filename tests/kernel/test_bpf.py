"""bpf(2): what it refuses, and what each refusal becomes."""

import contextlib
import ctypes
import errno
import os

import pytest
from tests.neighbours import as_nobody
from tests.own_cgroups import needs_cgroups, own_cgroup

from deadpeer.errors import AccessDenied, KernelRefused, UnsupportedError
from deadpeer.kernel import bpf, bpf_calls
from deadpeer.kernel.bpf import Hook
from deadpeer.kernel.bpf_calls import Command

__all__ = ["needs_cgroups"]

LAST_NUMBER = 2**31 - 1


def refused(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Have every call fail."""

    def call(*_: object) -> int:
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(bpf_calls, "_syscall", lambda: call)


@pytest.mark.usefixtures("needs_cgroups")
class TestOnTheRealKernel:
    def test_a_record_can_be_read_back(self):
        record = bpf.create_record(b"some words", name="deadpeer_test")
        try:
            assert bpf.read_record(record) == b"some words"
        finally:
            os.close(record)

    def test_nothing_is_attached_to_a_new_cgroup(self):
        with own_cgroup() as cgroup:
            descriptor = os.open(cgroup.folder, os.O_RDONLY)
            try:
                assert bpf.attached_ids(descriptor, Hook.SOCK_OPS) == ((), 0)
                assert bpf.attached_ids(descriptor, Hook.SETSOCKOPT) == ((), 0)
            finally:
                os.close(descriptor)

    @pytest.mark.parametrize("find", [bpf.program_by_id, bpf.map_by_id])
    def test_a_number_that_nothing_has_is_refused_as_such(self, find):
        with pytest.raises(KernelRefused) as caught:
            find(LAST_NUMBER)

        assert caught.value.errno == errno.ENOENT

    def test_a_file_that_is_no_pin_is_refused(self, tmp_path):
        (tmp_path / "file").touch()

        with pytest.raises((KernelRefused, AccessDenied)):
            bpf.open_pin(str(tmp_path / "file"))
        with pytest.raises(KernelRefused):
            bpf.open_pin(str(tmp_path / "absent"))

    def test_a_folder_that_is_no_bpf_file_system_takes_no_pin(self, tmp_path):
        record = bpf.create_record(b"x", name="deadpeer_test")
        try:
            with pytest.raises((KernelRefused, AccessDenied)):
                bpf.pin(record, str(tmp_path / "pin"))
        finally:
            os.close(record)

        assert list(tmp_path.iterdir()) == []

    def test_without_privileges_the_capabilities_are_named(self):
        def tried() -> int:
            with contextlib.suppress(AccessDenied):
                bpf.create_record(b"x", name="deadpeer_test")
                bpf.load(Hook.SOCK_OPS, bytes(8), name="x", licence="MIT")
                return 1
            return 0

        assert as_nobody(tried) == 0


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_a_missing_capability_is_named(monkeypatch, number):
    refused(monkeypatch, number)

    with pytest.raises(AccessDenied, match="CAP_BPF and CAP_NET_ADMIN") as caught:
        bpf.attached_ids(0, Hook.SOCK_OPS)
    assert caught.value.exit_code == 4


def test_looking_at_what_others_loaded_takes_another_capability(monkeypatch):
    refused(monkeypatch, errno.EPERM)

    with pytest.raises(AccessDenied) as caught:
        bpf.program_by_id(1)
    assert caught.value.capability == "CAP_SYS_ADMIN"


def test_a_kernel_without_bpf_is_unsupported(monkeypatch):
    refused(monkeypatch, errno.ENOSYS)

    with pytest.raises(UnsupportedError, match=r"no bpf\(2\)"):
        bpf.create_record(b"x", name="x")


def test_a_kernel_without_programs_on_cgroups_is_unsupported(monkeypatch):
    refused(monkeypatch, errno.EINVAL)

    with pytest.raises(UnsupportedError, match="CONFIG_CGROUP_BPF"):
        bpf.attached_ids(0, Hook.SETSOCKOPT)
    with pytest.raises(UnsupportedError, match="CONFIG_CGROUP_BPF"):
        bpf.load(Hook.SETSOCKOPT, bytes(8), name="x", licence="MIT")


def test_another_refusal_names_what_was_asked(monkeypatch):
    refused(monkeypatch, errno.E2BIG)

    with pytest.raises(KernelRefused, match="BPF_PROG_ATTACH") as caught:
        bpf.attach(0, 0, Hook.SOCK_OPS)
    assert caught.value.errno == errno.E2BIG


def test_a_system_without_a_number_for_it_is_unsupported(monkeypatch):
    monkeypatch.setattr(bpf_calls, "NUMBERS", {})
    bpf_calls._number.cache_clear()
    try:
        with pytest.raises(UnsupportedError, match="no BPF programs that we know"):
            bpf_calls.call(Command.OBJ_GET, "=QII", 0, 0, 0)
    finally:
        bpf_calls._number.cache_clear()
