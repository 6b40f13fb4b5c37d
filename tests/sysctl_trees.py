"""
Trees as distributions really lay them out, and a way to compare trees whole.

The files and their names are those of fresh installations of Debian 12 and 13,
Ubuntu 24.04, RHEL 9 (CentOS Stream 9) and Alpine 3.20, with the lines that show
what they set; see the file lists of their procps, systemd, redhat-release,
openrc and alpine-baselayout packages.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from deadpeer.kernel.sysctl.table import SETTINGS

LINK = "-> "

PROC = {
    f"proc/sys/{row.key.replace('.', '/')}": f"{row.default}\n" for row in SETTINGS
} | {"proc/sys/kernel/random/boot_id": "11111111-2222-3333-4444-555555555555\n"}

PROCPS = {"usr/sbin/sysctl": "a program"}
SYSTEMD = {"usr/lib/systemd/systemd-sysctl": "a program"} | PROCPS
MERGED = {"lib": "-> usr/lib", "sbin": "-> usr/sbin"}

DEBIAN_12 = {
    "etc/sysctl.conf": "# /etc/sysctl.conf\n#net.ipv4.tcp_syncookies=1\n",
    "etc/sysctl.d/99-sysctl.conf": "-> ../sysctl.conf",
    "etc/sysctl.d/README.sysctl": "Kernel system variables configuration files\n",
    "usr/lib/sysctl.d/50-pid-max.conf": "kernel.pid_max = 4194304\n",
    "usr/lib/sysctl.d/99-protect-links.conf": "fs.protected_symlinks = 1\n",
}

DEBIAN_13 = {
    "etc/sysctl.d/README.sysctl": "Kernel system variables configuration files\n",
    "usr/lib/sysctl.d/10-coredump-debian.conf": "kernel.core_pattern = core\n",
    "usr/lib/sysctl.d/50-default.conf": "net.core.default_qdisc = fq_codel\n",
    "usr/lib/sysctl.d/50-pid-max.conf": "kernel.pid_max = 4194304\n",
}

UBUNTU = {
    "etc/sysctl.conf": "# /etc/sysctl.conf\n",
    "etc/sysctl.d/10-console-messages.conf": "kernel.printk = 4 4 1 7\n",
    "etc/sysctl.d/10-ipv6-privacy.conf": "net.ipv6.conf.all.use_tempaddr = 2\n",
    "etc/sysctl.d/10-kernel-hardening.conf": "kernel.kptr_restrict = 1\n",
    "etc/sysctl.d/10-network-security.conf": "net.ipv4.conf.*.rp_filter = 2\n",
    "etc/sysctl.d/99-sysctl.conf": "-> ../sysctl.conf",
    "usr/lib/sysctl.d/10-apparmor.conf": "kernel.apparmor_restrict_unprivileged_userns = 1\n",
    "usr/lib/sysctl.d/50-pid-max.conf": "kernel.pid_max = 4194304\n",
    "usr/lib/sysctl.d/99-protect-links.conf": "fs.protected_symlinks = 1\n",
}

RHEL_9 = {
    "etc/sysctl.conf": "# sysctl settings are defined through files in\n",
    "etc/sysctl.d/99-sysctl.conf": "-> ../sysctl.conf",
    "usr/lib/sysctl.d/10-default-yama-scope.conf": "kernel.yama.ptrace_scope = 0\n",
    "usr/lib/sysctl.d/50-coredump.conf": "kernel.core_pipe_limit=16\n",
    "usr/lib/sysctl.d/50-default.conf": (
        "-net.ipv4.conf.all.rp_filter\nnet.ipv4.conf.*.rp_filter = 2\n"
    ),
    "usr/lib/sysctl.d/50-libkcapi-optmem_max.conf": "net.core.optmem_max = 81920\n",
    "usr/lib/sysctl.d/50-pid-max.conf": "kernel.pid_max = 4194304\n",
    "usr/lib/sysctl.d/50-redhat.conf": "net.ipv4.conf.*.rp_filter = 1\n",
}

ALPINE = {
    "etc/sysctl.conf": "# content of this file will override /etc/sysctl.d/*\n",
    "etc/init.d/sysctl": "#!/sbin/openrc-run\n",
    "bin/busybox": "a program",
    "sbin/sysctl": "-> /bin/busybox",
    "usr/lib/sysctl.d/00-alpine.conf": "net.ipv4.tcp_syncookies = 1\n",
}

LAYOUTS: dict[str, dict[str, str]] = {
    "debian-12": PROC | SYSTEMD | MERGED | DEBIAN_12,
    "debian-13": PROC | SYSTEMD | MERGED | DEBIAN_13,
    "ubuntu-24.04": PROC | SYSTEMD | MERGED | UBUNTU,
    "rhel-9": PROC | SYSTEMD | MERGED | RHEL_9,
    "alpine": PROC | ALPINE,
}


def plant(root: Path, files: dict[str, str]) -> Path:
    """Make a tree; a text that starts with "-> " is a symlink."""
    root.mkdir(exist_ok=True)
    # Links first: a directory may be one.
    for path, text in sorted(files.items(), key=lambda item: item[1][:3] != LINK):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith(LINK):
            if text == "-> usr/lib":
                (root / "usr/lib").mkdir(parents=True, exist_ok=True)
            file.symlink_to(text.removeprefix(LINK))
        else:
            file.write_text(text, newline="")
    return root


def snapshot(root: Path) -> dict[str, tuple[str, int, bytes]]:
    """Return a tree whole: names, types, modes, bytes, symlink targets."""
    found = {}
    for path in [root, *root.rglob("*")]:
        about = path.lstat()
        if stat.S_ISLNK(about.st_mode):
            what = "link", 0, os.fsencode(path.readlink())
        elif stat.S_ISDIR(about.st_mode):
            what = "directory", stat.S_IMODE(about.st_mode), b""
        else:
            what = "file", stat.S_IMODE(about.st_mode), path.read_bytes()
        found[path.relative_to(root).as_posix()] = what
    return found


def value(root: Path, key: str) -> str:
    """Return what a tree's proc holds for a key."""
    return Path(root, "proc/sys", *key.split(".")).read_text().strip()


Plant = Callable[..., Path]
