"""Which control group somebody means, on trees made for it."""

import os
from pathlib import Path

import pytest

from deadpeer.errors import ConfigError, UnsupportedError
from deadpeer.kernel import cgroups
from deadpeer.kernel.cgroups import (
    Cgroup,
    all_cgroups,
    cgroup_of,
    find_cgroup,
    hierarchy,
    is_there,
    is_unified,
    processes_in,
)

UNIFIED = "30 24 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw\n"
HYBRID = (
    "31 24 0:27 / /sys/fs/cgroup/cpu rw shared:5 - cgroup cgroup rw,cpu\n"
    "32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
PIECE = "33 24 0:26 /app.slice /some\\040where rw - cgroup2 cgroup2 rw\n"
IDENTIFIER = "4f2a" * 16
CONTAINER = f"/system.slice/docker-{IDENTIFIER}.scope"
FOLDERS = (
    "/system.slice/web.service",
    "/system.slice/web.service/worker",
    "/system.slice/ssh.service",
    "/user.slice/user-1000.slice/user@1000.service/app.slice/ssh.service",
    CONTAINER,
    "/kubepods/besteffort/pod1/" + "ab" * 32,
)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of folders like control groups."""
    for folder in ("/", *FOLDERS):
        path = tmp_path / folder[1:]
        path.mkdir(parents=True, exist_ok=True)
    for made in tmp_path.rglob("*/"):
        (made / "cgroup.procs").write_text("")
    (tmp_path / "cgroup.procs").write_text("1\n")
    monkeypatch.setattr(cgroups, "hierarchy", lambda: tmp_path)
    return tmp_path


def test_the_mount_is_found_on_either_kind_of_host():
    assert hierarchy(UNIFIED) == Path("/sys/fs/cgroup")
    assert hierarchy(HYBRID) == Path("/sys/fs/cgroup/unified")
    assert hierarchy(PIECE + HYBRID) == Path("/sys/fs/cgroup/unified")
    assert hierarchy(PIECE) == Path("/some where")


def test_a_host_without_version_2_is_unsupported():
    with pytest.raises(UnsupportedError, match="version 2"):
        hierarchy(HYBRID.splitlines()[0])
    with pytest.raises(UnsupportedError):
        hierarchy("nonsense\n\n - \n")


def test_a_hybrid_host_is_not_unified():
    assert is_unified(UNIFIED)
    assert not is_unified(HYBRID)
    assert not is_unified("")


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("web", "/system.slice/web.service"),
        ("web.service", "/system.slice/web.service"),
        ("/system.slice/web.service", "/system.slice/web.service"),
        ("system.slice/web.service/", "/system.slice/web.service"),
        ("worker", "/system.slice/web.service/worker"),
        (IDENTIFIER, CONTAINER),
        (IDENTIFIER[:12], CONTAINER),
        ("ABABAB", FOLDERS[-1]),
        ("/", "/"),
    ],
)
@pytest.mark.usefixtures("tree")
def test_a_cgroup_is_found_by_what_people_call_it(target, name):
    assert find_cgroup(target).name == name


def test_a_path_below_the_mount_is_a_cgroup_too(tree):
    found = find_cgroup(f"{tree}/system.slice/web.service")

    assert found == Cgroup(
        name="/system.slice/web.service", folder=tree / "system.slice/web.service"
    )


@pytest.mark.parametrize(
    "target", ["nginx", "/no/such", "4f2a4", "999999999", "", "docker"]
)
@pytest.mark.usefixtures("tree")
def test_what_is_not_there_is_said_to_be_not_there(target):
    with pytest.raises(ConfigError, match="no control group"):
        find_cgroup(target)


@pytest.mark.usefixtures("tree")
def test_a_name_that_several_have_is_refused_with_their_paths():
    with pytest.raises(ConfigError, match=r"2 control groups: /system.slice/ssh"):
        find_cgroup("ssh")


@pytest.mark.usefixtures("tree")
def test_a_path_that_leads_out_of_the_tree_is_refused():
    with pytest.raises(ConfigError, match="outside"):
        find_cgroup("/../../etc")


def test_the_processes_below_count_too(tree):
    (tree / "system.slice/web.service/cgroup.procs").write_text("7\n8\n")
    (tree / "system.slice/web.service/worker/cgroup.procs").write_text("9\n")

    assert processes_in(find_cgroup("web")) == (7, 8, 9)


@pytest.mark.parametrize("name", ["a" * 300, "/" + "a" * 300, "1" * 300])
@pytest.mark.usefixtures("tree")
def test_a_name_that_is_too_long_for_a_file_is_one_that_nothing_has(name):
    with pytest.raises(ConfigError, match="there is no control group"):
        find_cgroup(name)


def test_what_cannot_be_looked_for_is_not_taken_for_absent(tmp_path):
    (tmp_path / "file").write_text("")

    assert not is_there(tmp_path / "none")
    assert not is_there(tmp_path / "file" / "below")
    assert is_there(tmp_path / "file")


def test_a_unit_is_known_by_its_name(tree):
    assert find_cgroup("web").unit == "web.service"
    assert find_cgroup("worker").unit == ""
    assert find_cgroup("/").is_root
    assert len(list(all_cgroups(tree))) == len({f.name for f in all_cgroups(tree)})


def test_a_process_is_found_in_a_cgroup_of_any_name(tree, monkeypatch):
    odd = "/a\u2028b\x1cc:d\x85"
    (tree / odd[1:]).mkdir()
    (tree / odd[1:] / "cgroup.procs").write_text("")
    text = f"4:cpu:{odd}\n0::{odd}\n"
    monkeypatch.setattr(cgroups, "_read", lambda _: text)

    assert cgroup_of(7).name == odd


def test_this_process_is_in_one():
    try:
        top = hierarchy()
    except UnsupportedError as error:
        pytest.skip(str(error))

    assert find_cgroup(str(os.getpid())).folder.is_relative_to(top)
