"""
Threads that do what may block, so that the loop which judges never does.

A thread is reused when it is free, and a new one is started when none is: a job that
is blocked for an hour keeps nobody else's waiting. They are daemons, since a job that
never ends must not keep the interpreter from ending.
"""

import queue
import threading
from collections.abc import Callable

__all__ = ["Workers"]

# A thread without work ends after so many seconds.
IDLE = 10.0

Job = Callable[[], None]


class Workers:
    """As many threads as there are jobs at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._free = 0  # threads that wait for a job and have not been promised one

    def do(self, job: Job) -> None:
        """
        Have a job done by a thread of its own, as soon as that runs.

        Args:
            job: What to do; it must not raise.
        """
        with self._lock:
            is_one_free = self._free > 0
            if is_one_free:
                self._free -= 1
        if not is_one_free:
            threading.Thread(
                target=self._run, name="deadpeer worker", daemon=True
            ).start()
        self._jobs.put(job)

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE)
            except queue.Empty:
                if self._leaves():
                    return
                continue
            job()
            del job  # it would be kept alive until the next
            with self._lock:
                self._free += 1

    def _leaves(self) -> bool:
        """A thread that was promised a job stays for it."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True
