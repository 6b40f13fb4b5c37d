"""
One heartbeat cell while it is measured: what was predicted, and what came of it.

The connection itself is the watcher's; here is what the lab knows of it.
"""

import time
from collections.abc import Callable
from typing import Any

from deadpeer.lab.heartbeats.conditions import Conditions
from deadpeer.lab.heartbeats.forecast import DELAYED, Heard, forecast
from deadpeer.lab.scenario import Cell, Measurement
from deadpeer.lab.terms import Outcome, Situation
from deadpeer.lab.trial import UNPREPARED, Trial

__all__ = ["Beating"]


class Beating(Trial):
    """
    A connection of the watcher, seen from the lab.

    Args:
        cell: What it is for.
        plan: What it goes through.
        done: Called with its measurement, once.
        name: What the watcher and the peer call it.
    """

    def __init__(
        self,
        cell: Cell,
        plan: Conditions,
        done: Callable[[Measurement], None],
        *,
        name: str,
    ) -> None:
        super().__init__(cell, done)
        self.plan = plan
        self.name = name
        self.message = 0
        self.had_received = 0

    def expect(self, size: int) -> int:
        """Take note that a message of so many bytes has to pass; return that."""
        self.message = size
        return size

    def predict(self, status: dict[str, Any], *, fault_at: float, rtt: float) -> None:
        """
        Write down what it should see.

        Args:
            status: How it is, as the watcher says.
            fault_at: When the fault happens: now.
            rtt: The round trip of the path, in seconds.
        """
        if self.is_over:
            return
        self.fault_at = fault_at
        if not status["ready"]:
            self.record(Outcome.ALIVE, note=UNPREPARED)
            return
        self.had_received = status["received"]
        heard = Heard(
            last=self.last(status, rtt),
            delivered=(0.0, 2 * rtt + DELAYED) if self.has_data_in_flight else None,
            rtt=rtt,
        )
        self.cell = forecast(self.cell, self.plan, heard).written_into(self.cell)

    @property
    def has_data_in_flight(self) -> bool:
        """Whether something else than a question is on its way at the fault."""
        return self.cell.situation is Situation.UNACKNOWLEDGED

    def last(self, status: dict[str, Any], rtt: float) -> tuple[float, float]:
        """When its last byte is heard, in seconds after the fault."""
        at = status["heard_at"] - self.fault_at
        asked_at = status["asked_at"]
        # A question that is there by now may be answered still.
        if asked_at is None or self.fault_at - asked_at < self.plan.before.delay:
            return at, at
        return at, rtt

    def ended(self, news: dict[str, Any]) -> None:
        """
        Take the end that the watcher tells of.

        Args:
            news: What it said.
        """
        outcome = Outcome(news["outcome"])
        if self.cell.fault.says_goodbye and not self.cell.peer_lives:
            outcome = Outcome.CLOSED
        self.record(
            outcome,
            reported_at=news["at"],
            error=news["error"],
            probes=news["probes"],
            retransmits=news["retransmits"],
        )

    def conclude(self, status: dict[str, Any]) -> None:
        """
        End the observation; a live peer has to have been heard of late.

        Args:
            status: How it is, as the watcher says.
        """
        if self.is_over:
            return
        note = ""
        if self.cell.peer_lives:
            note = self.what_is_missing(status)
        self.record(Outcome.ALIVE, note=note)

    def what_is_missing(self, status: dict[str, Any]) -> str:
        """Return what a live peer did not do that it should have."""
        silence = time.monotonic() - status["heard_at"]
        if silence > self.plan.heartbeat.detection:
            return f"nothing reported, but nothing heard for {silence:.1f} s"
        passed = status["received"] - self.had_received
        if self.cell.situation is Situation.RECEIVING and passed < self.message:
            return f"{passed} bytes of its message came, not {self.message}"
        if self.cell.situation is Situation.SENDING and status["unsent"]:
            return f"{status['unsent']} bytes of its message are still unsent"
        return ""
