"""
What holds for every test: no silent skips in CI, laws that repeat, one lab at a time.

On a user's machine a test that needs a privilege or a newer kernel is skipped
and says why. In CI that would be a test which nobody runs, so there a skip is
a failure, unless the test stands in ``EXCEPTIONS`` with its reason.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

EXCEPTIONS: dict[str, str] = {
    "tests/host/test_covered_programs.py"
    "::test_go_has_its_own_values_without_pin_and_ours_with_it": (
        "needs a Go compiler, which is large"
    ),
    "tests/kernel/test_options.py::test_each_option_is_set_where_the_kernel_has_it": (
        "one of its options, TCP_RTO_MAX_MS, needs Linux 6.15"
    ),
    "tests/test_front_door.py"
    "::test_a_stalled_reader_is_allowed_without_a_user_timeout": (
        "needs Linux 6.15, and hosted runners may have an older kernel"
    ),
}
"""Tests (``tests/file.py::test_name``) that may be skipped in CI, with the reason."""

LAB = "tests/lab/"

# A law has no deadline: the machine may be busy, and slow is not wrong. In CI
# the examples are the same in every run, so that a red build can be repeated.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")


def is_strict() -> bool:
    """
    Tell whether a skip is a failure.

    Only on Linux: elsewhere CI runs the parts that can run, and says of the
    others what they would need.
    """
    return os.environ.get("CI") == "true" and sys.platform == "linux"


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that says how to allow it."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return  # an expected failure is no skip, and is strict by itself
    if report.nodeid.partition("[")[0] in EXCEPTIONS:
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    report.outcome = "failed"
    report.longrepr = (
        f"{report.nodeid} was skipped in CI ({reason}). Give CI what the test "
        "needs, or name the test in EXCEPTIONS of tests/conftest.py."
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[
    None, pytest.TestReport, pytest.TestReport
]:
    report = yield
    if is_strict():
        forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[
    None, pytest.CollectReport, pytest.CollectReport
]:
    report = yield
    if is_strict():
        forbid_skip(report)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """
    Let files run side by side, and the lab's one after the other.

    They compare what they measure with predictions, and would be in each other's way.
    """
    from xdist.scheduler import LoadFileScheduling

    class OneLab(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return LAB if nodeid.startswith(LAB) else super()._split_scope(nodeid)

    return OneLab(config, log)


@functools.cache
def why_no_namespaces() -> str:
    """Return why this process can make no network namespaces; empty if it can."""
    if sys.platform != "linux":
        return "network namespaces exist on Linux only"
    if shutil.which("unshare") is None:
        return "needs the command `unshare`: apt-get install util-linux"
    tried = subprocess.run(
        ["unshare", "--net", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode == 0:
        return ""
    return (
        "needs root or CAP_SYS_ADMIN for network namespaces; without: "
        "unshare --user --map-root-user --net --mount make test"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("netns") and why_no_namespaces():
        pytest.skip(why_no_namespaces())
