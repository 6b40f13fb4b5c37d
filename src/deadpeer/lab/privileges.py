"""
The right to build networks: root's, or that of a user namespace of our own.

``become_able`` is for the first lines of a process that was started for the
lab: entering a user namespace changes who the process is, and takes a process
with a single thread.
"""

import errno
import os
from pathlib import Path

from deadpeer.errors import LabError
from deadpeer.lab.namespaces import CLONE_NEWNET, CLONE_NEWUSER, unshare

__all__ = ["become_able", "capabilities", "is_able", "why_not"]

# Source: linux/capability.h.
CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
CAP_SYS_ADMIN = 21
NEEDED = (CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN)

# What forbids user namespaces: a setting, the value that forbids, who has it,
# and what root would type to allow it.
# Source: user_namespaces(7); Debian's kernel.unprivileged_userns_clone; Ubuntu's
# AppArmor, kernel.apparmor_restrict_unprivileged_userns, since 23.10.
FORBIDDING = (
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user/max_user_namespaces", "0", "16384"),
)


def capabilities() -> int:
    """
    Return the effective capabilities of this process, as a bit mask.

    Source:
        proc(5), /proc/self/status, CapEff.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def is_able() -> bool:
    """Return whether this process may make network namespaces and fill them."""
    mask = capabilities()
    return all(mask >> bit & 1 for bit in NEEDED)


def become_able() -> bool:
    """
    Make this process able to build networks, in a user namespace if need be.

    Inside, this user is root over what is made there, and nobody elsewhere. The
    process leaves the machine's network for an empty one of its own, so that
    nothing it does can reach the machine's; and because the way back into a
    network that belongs to somebody else is closed.

    Returns:
        Whether a user namespace was needed.

    Raises:
        LabError: It is forbidden; says by what, and what would allow it.
    """
    if is_able():
        try:
            unshare(CLONE_NEWNET)
        except OSError as error:
            raise why_not(error) from error
        return False
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        # Without this the kernel takes no group map: user_namespaces(7).
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    except OSError as error:
        raise why_not(error) from error
    if not is_able():  # AppArmor lets the namespace be made, and empties it
        raise why_not(OSError(errno.EPERM, os.strerror(errno.EPERM)))
    return True


def why_not(error: OSError, *, settings: Path = Path("/proc/sys")) -> LabError:
    """
    Return the error that says what forbids user namespaces here.

    Args:
        error: The kernel's answer.
        settings: Where the kernel's settings are.
    """
    message = f"this user may not build networks: {error.strerror}"
    for name, forbids, allows in FORBIDDING:
        try:
            value = (settings / name).read_text(encoding="ascii").strip()
        except OSError:
            continue  # this kernel has no such setting
        if value == forbids:
            key = name.replace("/", ".")
            return LabError(
                f"{message} ({key}={value})",
                hint=f"run it as root, or allow it: sudo sysctl {key}={allows}",
            )
    return LabError(
        message,
        hint="run it as root; in a container, with --cap-add NET_ADMIN"
        " --cap-add SYS_ADMIN or a seccomp profile that allows unshare",
    )
