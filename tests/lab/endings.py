"""Waiting for the ends of processes that are not our children."""

import os
import select

__all__ = ["wait_until_gone"]


def wait_until_gone(pids):
    """Wait for the ends of processes that are not our children."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ready = select.select([descriptor], [], [], 10)[0]
        os.close(descriptor)
        assert ready, f"process {pid} is still there"
