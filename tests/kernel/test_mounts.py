"""What is mounted where, from what the kernel says."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deadpeer.kernel.mounts import Mount, all_mounts


def test_a_line_becomes_a_mount_with_or_without_optional_fields():
    text = (
        "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n"
        "37 35 0:3 / /with\\040blank\\134 rw - bpf none rw,mode=700\n"
    )

    assert all_mounts(text) == (
        Mount(kind="ext3", root="/mnt1", place=Path("/mnt2")),
        Mount(kind="bpf", root="/", place=Path("/with blank\\")),
    )


@given(st.text())
def test_nonsense_is_no_error(text):
    assert all(mount.kind for mount in all_mounts(text))


def test_this_system_has_mounts_or_none_that_we_know_of():
    assert all(mount.place.is_absolute() for mount in all_mounts())
