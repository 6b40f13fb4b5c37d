"""What a process is: name, user, container."""

import os
import sys

import pytest
from tests.neighbours import neighbour

from deadpeer.kernel.processes import Process, container_of, process_facts, user_name

ID = "0123456789ab" + "cdef" * 13
OTHER = "fedcba987654" + "3210" * 13

CGROUPS = {
    "/": "",
    "/system.slice/ssh.service": "",
    "/user.slice/user-1000.slice/session-3.scope": "",
    f"/system.slice/docker-{ID}.scope": ID[:12],
    f"/docker/{ID}": ID[:12],
    f"/docker/{ID}/system.slice/nginx.service": ID[:12],
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/"
    f"cri-containerd-{ID}.scope": ID[:12],
    f"/kubepods/besteffort/pod12-34/{ID}": ID[:12],
    f"/kubepods.slice/crio-{ID}.scope": ID[:12],
    f"/machine.slice/libpod-{ID}.scope/container": ID[:12],
    f"/docker/{OTHER}/docker/{ID}": ID[:12],
    "/lxc.payload.web1/system.slice": "web1",
    "/lxc/web2": "web2",
    "/machine.slice/machine-fedora.scope": "fedora",
}


@pytest.mark.parametrize(("cgroup", "container"), CGROUPS.items())
def test_the_container_is_known_by_the_cgroup(cgroup, container):
    assert container_of(cgroup) == container


def test_what_a_child_is_can_be_read():
    with neighbour() as child:
        facts = process_facts(child.pid)

    assert facts.pid == child.pid
    assert facts.name.startswith("python")
    assert facts.command[0] == sys.executable
    assert facts.uid == os.geteuid()
    assert facts.user == user_name(os.geteuid())
    assert facts.netns == os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 - of a link


def test_of_what_has_ended_only_the_number_is_known():
    assert process_facts(2**22 + 1) == Process(pid=2**22 + 1)


def test_a_user_without_a_name_has_a_number():
    assert user_name(0) == "root"
    assert user_name(4_000_000_001) == "4000000001"
