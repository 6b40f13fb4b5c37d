"""
Runs the real systemd-sysctl and the real sysctl on made-up trees.

It runs itself in a network and a mount namespace of its own, in which its
own directories lie over the places that those programs read. Nothing of the
machine's own settings or files is seen or changed.
"""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

SYSTEMD = next(
    (
        path
        for path in ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")
        if Path(path).exists()
    ),
    "",
)
PROCPS = shutil.which("sysctl", path="/usr/sbin:/sbin:/usr/bin:/bin") or ""
COVERED = ("/etc", "/run", "/usr/lib/sysctl.d")
MARK = ".deadpeer-test"

# For each tree, by the name of the program: values by key.
Seen = list[dict[str, dict[str, str]]]


def why_not() -> str:
    """Return what is missing here, or nothing."""
    if not SYSTEMD:
        return "needs systemd-sysctl: apt-get install systemd"
    version = subprocess.run(
        [PROCPS or "false", "--version"], capture_output=True, text=True, check=False
    )
    if "procps" not in version.stdout:
        return "needs sysctl of procps: apt-get install procps"
    if not Path("/usr/lib/sysctl.d").is_dir():
        return "needs the directory /usr/lib/sysctl.d"
    return ""


def run(trees: list[dict[str, str | None]], keys: dict[str, str]) -> Seen:
    """
    Return what each program makes of each tree.

    Args:
        trees: Paths and texts; a text of None is a symlink to /dev/null, and one
            that starts with "-> " a symlink to what follows.
        keys: Paths under /proc/sys and their values before.

    Returns:
        For each tree: for ``systemd`` and ``procps`` the values by key.
    """
    done = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, __file__],
        input=json.dumps([trees, keys]),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    seen: Seen = json.loads(done.stdout)
    return seen


def cover() -> None:
    for path in COVERED:
        subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
        Path(path, MARK).touch()


def clear(directory: Path) -> None:
    if not (directory / MARK).exists():
        raise RuntimeError(f"{directory} is not ours")
    for entry in directory.iterdir():
        if entry.name == MARK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def fill(tree: dict[str, str | None]) -> None:
    for path in COVERED:
        clear(Path(path))
    for path, text in tree.items():
        file = Path(path)
        if not path.startswith(tuple(f"{place}/" for place in COVERED)):
            raise RuntimeError(f"{path} is not ours")
        file.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            file.symlink_to("/dev/null")
        elif text.startswith("-> "):
            file.symlink_to(text.removeprefix("-> "))
        else:
            file.write_text(text, newline="")


def main() -> None:
    trees, keys = json.load(sys.stdin)
    cover()
    results = []
    for tree in trees:
        fill(tree)
        result = {}
        for name, command in {
            "systemd": [SYSTEMD],
            "procps": [PROCPS, "--system"],
        }.items():
            for key, value in keys.items():
                Path("/proc/sys", key).write_text(value)
            subprocess.run(command, capture_output=True, check=False)
            with contextlib.suppress(OSError):
                result[name] = {
                    key: Path("/proc/sys", key).read_text().strip() for key in keys
                }
        results.append(result)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
