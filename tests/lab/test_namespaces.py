import socket
from pathlib import Path

import pytest

from deadpeer.errors import LabError
from deadpeer.lab.namespaces import Namespace

pytestmark = pytest.mark.netns


def own_namespace():
    return Path("/proc/thread-self/ns/net").stat().st_ino


def open_descriptors():
    # The one for looking at them comes and goes.
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def host():
    with Namespace("host") as namespace:
        yield namespace


def test_a_thread_steps_in_and_comes_back(host):
    before = own_namespace()

    with host.entered():
        inside = own_namespace()

    assert inside == host.inode != before
    assert own_namespace() == before


def test_a_thread_comes_back_from_an_error_too(host):
    before = own_namespace()

    with pytest.raises(ZeroDivisionError), host.entered():
        _ = 1 / 0

    assert own_namespace() == before


def test_a_socket_made_inside_stays_inside(host):
    with host.entered():
        sock = socket.socket()

    with sock:
        # Not even loopback is up there.
        assert sock.connect_ex(("127.0.0.1", 9)) != 0
        host.links.link("set", index=host.index("lo"), state="up")
        with host.entered():
            listener = socket.create_server(("127.0.0.1", 0))
        with listener, socket.socket() as outsider:
            address = listener.getsockname()
            outsider.settimeout(5)
            assert outsider.connect_ex(address) != 0


def test_settings_are_its_own(host):
    path = Path("/proc/sys/net/ipv4/tcp_keepalive_time")
    outside = path.read_text(encoding="ascii")

    host.set_sysctl("ipv4/tcp_keepalive_time", 4321)

    with host.entered():
        assert path.read_text(encoding="ascii") == "4321\n"
    assert path.read_text(encoding="ascii") == outside


def test_a_setting_that_is_not_there_says_so_or_is_passed_over(host):
    host.set_sysctl_if_present("ipv4/tcp_no_such_thing", 1)

    with pytest.raises(LabError, match="tcp_no_such_thing"):
        host.set_sysctl("ipv4/tcp_no_such_thing", 1)


def test_a_link_that_is_not_there_says_so(host):
    with pytest.raises(LabError, match="no link eth9"):
        host.index("eth9")


def test_a_closed_one_holds_no_descriptor():
    before = open_descriptors()

    namespace = Namespace("short-lived")
    namespace.close()
    namespace.close()  # twice is once

    assert open_descriptors() == before


def test_it_has_no_name_that_could_outlive_it(host):
    names = Path("/run/netns")
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")

    assert str(host.inode) not in mounts
    assert not names.exists() or all(
        entry.stat().st_ino != host.inode for entry in names.iterdir()
    )
