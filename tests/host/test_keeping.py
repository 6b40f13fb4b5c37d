"""
Pins and drop-ins: on a made tree, in a mount namespace with a BPF file system.

systemd itself is not run: what it does with a drop-in (open the pin, attach it to the
new cgroup) is done here by hand.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import why_no_namespaces
from tests.own_cgroups import needs_cgroups

from deadpeer.host.keeping import Places, drop_in_text, keeping_for, why_not_kept
from deadpeer.kernel.bpf import Hook
from deadpeer.kernel.cgroups import Cgroup

__all__ = ["needs_cgroups"]

UNIFIED = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
HYBRID = UNIFIED + "31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"


def cgroup(name: str) -> Cgroup:
    return Cgroup(name=name, folder=Path("/sys/fs/cgroup") / name[1:])


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A tree as on a host where systemd runs."""
    (tmp_path / "run").mkdir()
    bpf = tmp_path / "bpf"
    return Places(
        bpf=bpf,
        units=tmp_path / "units",
        systemd=tmp_path / "run",
        mounts=f"{UNIFIED}35 24 0:29 / {bpf} rw - bpf bpf rw\n",
    )


def test_a_service_can_be_kept(places):
    assert why_not_kept(cgroup("/system.slice/web.service"), places) == ""


@pytest.mark.parametrize(
    "name",
    [
        "/some/folder",
        "/system.slice/docker-4f2a.scope",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
    ],
)
def test_what_is_no_unit_of_the_system_cannot(places, name):
    assert "no unit" in why_not_kept(cgroup(name), places)


def test_what_is_missing_on_a_host_is_said(places, tmp_path):
    web = cgroup("/system.slice/web.service")
    without = tmp_path / "absent"

    def why(**other) -> str:
        from dataclasses import replace

        return why_not_kept(web, replace(places, **other))

    assert "systemd does not run" in why(systemd=without)
    assert "all control groups are version 2" in why(mounts=HYBRID)
    assert f"mount -t bpf bpf {places.bpf}" in why(mounts=UNIFIED)


def test_the_drop_in_names_the_pins(places):
    keeping = keeping_for("web@1.service", places)
    pins = places.bpf / "deadpeer/web_401_2eservice"

    assert keeping.drop_in == places.units / "web@1.service.d/50-deadpeer.conf"
    assert keeping.pins == pins
    assert drop_in_text(keeping, list(Hook)) == (
        "# Written by deadpeer attach; deadpeer detach removes it.\n"
        "[Service]\n"
        f"BPFProgram=sock_ops:{pins}/keeper\n"
        f"BPFProgram=setsockopt:{pins}/guard\n"
    )
    assert not keeping.exists


@pytest.mark.parametrize(
    ("unit", "section"), [("a.socket", "[Socket]"), ("a.slice", "[Slice]")]
)
def test_the_section_is_that_of_the_units_type(places, unit, section):
    assert section in drop_in_text(keeping_for(unit, places), [])


def test_a_name_that_is_no_utf_8_has_a_folder_too(places):
    assert (
        keeping_for(os.fsdecode(b"\xff.service"), places).pins.name == "_ff_2eservice"
    )


def test_a_drop_in_that_is_no_text_is_not_ours(places):
    keeping = keeping_for("web.service", places)
    keeping.drop_in.parent.mkdir(parents=True)
    keeping.drop_in.write_bytes(b"\xff")

    assert not keeping.holds(tuple(Hook))


def test_two_units_have_two_folders(places):
    units = ["a.service", "a_2eservice", "a-service", "ä.service", "a..service"]

    folders = {keeping_for(unit, places).pins.name for unit in units}

    assert len(folders) == len(units)
    assert not any("." in folder for folder in folders)


# Runs in a mount namespace of its own; each line that it prints is a fact.
FLOW = r"""
import os, subprocess, sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tests.own_cgroups import own_cgroup
from deadpeer.errors import DeadPeerError
from deadpeer.host.attach_plans import plan_attach, plan_detach
from deadpeer.host.attaching import _loaded, attach, detach
from deadpeer.host.attachments import look, opened
from deadpeer.host.keeping import Places
from deadpeer.kernel import bpf
from deadpeer.kernel.bpf import Hook

top = Path(sys.argv[1])
for name in ("bpf", "units", "run"):
    (top / name).mkdir()
subprocess.run(["mount", "-t", "bpf", "bpf", top / "bpf"], check=True)
real = Path("/proc/self/mountinfo").read_text().splitlines(keepends=True)
places = Places(
    bpf=top / "bpf",
    units=top / "units",
    systemd=top / "run",
    mounts="".join(line for line in real if " - cgroup " not in line),
)

def fact(name, value):
    print(repr((name, value)), flush=True)

def files():
    found = [p for folder in (places.bpf, places.units) for p in folder.rglob("*")]
    # The kernel's own files in a BPF file system end so.
    return sorted(str(p.relative_to(top)) for p in found if p.suffix != ".debug")

def restart(cgroup):
    # What systemd does for a unit that starts.
    cgroup.folder.rmdir()
    cgroup.folder.mkdir()
    text = next(places.units.rglob("*.conf")).read_text()
    hooks = {"sock_ops": Hook.SOCK_OPS, "setsockopt": Hook.SETSOCKOPT}
    for line in text.splitlines():
        if line.startswith("BPFProgram="):
            kind, path = line.removeprefix("BPFProgram=").split(":")
            program = bpf.open_pin(path)
            with opened(cgroup) as folder:
                bpf.attach(program, folder, hooks[kind])
            os.close(program)

def promised(cgroup):
    terms = look(cgroup).terms
    return terms and (terms.within, terms.pin)

with own_cgroup(".service") as cgroup:
    def attached(within, pin, places=places):
        return attach(plan_attach(cgroup.name, within=within, pin=pin, places=places))

    attached(20, True)
    fact("kept", [f.replace(cgroup.unit, "UNIT") for f in files()])
    fact("done", plan_attach(cgroup.name, within=20, pin=True, places=places).is_done)
    next(places.bpf.rglob("keeper")).unlink()
    fact("unpinned", plan_attach(cgroup.name, within=20, pin=True, places=places).is_done)
    attached(20, True)
    restart(cgroup)
    fact("restarted", promised(cgroup))
    attached(30, False)
    fact("changed", promised(cgroup))
    restart(cgroup)
    fact("changed, restarted", promised(cgroup))
    before = files()
    (top / "file").touch()
    try:
        attached(40, True, replace(places, units=top / "file"))
    except DeadPeerError as error:
        fact("refused", str(error))
    fact("put back", (promised(cgroup), files() == before))
    cgroup.folder.rmdir()
    planned = plan_detach(cgroup.unit.removesuffix(".service"), places=places)
    fact("stopped", (planned.cgroup, planned.before, planned.is_done))
    detach(planned)
    fact("removed", files())
    cgroup.folder.mkdir()
    attached(20, True)
    fact("files", len(detach(plan_detach(cgroup.name, places=places))))
    fact("left", (promised(cgroup), files()))
    # One that was killed before it published what it had staged.
    killed = plan_attach(cgroup.name, within=20, pin=True, places=places)
    with ExitStack() as held:
        killed.keeping.stage(_loaded(killed, held))
    planned = plan_attach(cgroup.name, within=20, pin=False, places=places)
    attach(planned)
    again = plan_attach(cgroup.name, within=20, pin=False, places=places)
    pins = [f for f in files() if Path(f).name.startswith(("guard", "keeper"))]
    fact("after a killed one", ([Path(f).name for f in pins], again.is_done))
    detach(plan_detach(cgroup.name, places=places))
    with ExitStack() as held:
        killed.keeping.stage(_loaded(killed, held))
    detach(plan_detach(cgroup.name, places=places))
    fact("swept", (files(), plan_detach(cgroup.name, places=places).is_done))
"""


@pytest.mark.netns
@pytest.mark.slow
@pytest.mark.usefixtures("needs_cgroups")
def test_an_attachment_outlives_the_restart_of_its_unit(tmp_path):
    if why_no_namespaces():
        pytest.skip(why_no_namespaces())
    done = subprocess.run(
        ["unshare", "--mount", "--", sys.executable, "-c", FLOW, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    facts = dict(ast.literal_eval(line) for line in done.stdout.splitlines())

    assert done.returncode == 0, done.stderr
    assert len(facts["kept"]) == 6
    assert facts["kept"][-1] == "units/UNIT.d/50-deadpeer.conf"
    assert [Path(file).name for file in facts["kept"][2:4]] == ["guard", "keeper"]
    assert facts["done"]
    assert not facts["unpinned"]
    assert facts["restarted"] == (20.0, True)
    assert facts["changed"] == (30.0, False)
    assert facts["changed, restarted"] == (30.0, False)
    assert "cannot write" in facts["refused"]
    assert facts["put back"] == ((30.0, False), True)
    assert facts["stopped"] == (None, None, False)
    assert facts["removed"] == []
    assert facts["files"] == 3
    assert facts["left"] == (None, [])
    assert facts["after a killed one"] == (["keeper"], True)
    assert facts["swept"] == ([], True)
