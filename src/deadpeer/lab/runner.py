"""
A run from the outside: hand in a scenario, get the measurements.

The work is done by a process of its own, see ``worker``; here it is started,
listened to, and ended, whatever happens.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from deadpeer import errors
from deadpeer.errors import LabError
from deadpeer.kernel.current_platform import this_platform
from deadpeer.lab.false_time import find_library
from deadpeer.lab.leash import Child
from deadpeer.lab.plain import from_plain, to_plain
from deadpeer.lab.scenario import FALSE_TIME, Measurement, Run, Scenario
from deadpeer.lab.selection import choose_cells, settings_for
from deadpeer.lab.wire.precision import Precision
from deadpeer.platforms import LINUX

__all__ = ["Progress", "fitted", "run"]

# The worker says something several times a second; after so many seconds of
# silence it hangs, and is ended.
PATIENCE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """
    How far a run is.

    Args:
        what: ``beat`` (time passes), ``built`` (all networks stand), ``struck``
            (a fault has happened) or ``measured``.
        elapsed: Seconds since the start.
        total: Seconds that the whole run takes, as far as is known.
        fault: Which fault it is about, if about one.
        measurement: The measurement, if there is one.
    """

    what: str
    elapsed: float
    total: float
    fault: str = ""
    measurement: Measurement | None = None


def fitted(scenario: Scenario) -> Scenario:
    """
    Return the scenario for the machine that it runs on.

    Args:
        scenario: What to do, on a machine that may have more.

    Raises:
        UnsupportedError: This is no system that the table knows.
    """
    missing: list[str] = sorted(set(LINUX.options) - set(this_platform().options))
    try:
        find_library()
    except LabError:
        missing.append(FALSE_TIME)
    return replace(scenario, lacks=tuple(missing))


def run(
    scenario: Scenario, *, progress: Callable[[Progress], object] | None = None
) -> Run:
    """
    Do a run: build the networks, do the faults, measure.

    Nothing outside the run's own processes and namespaces is touched, and
    nothing of it is left afterwards, also if this process is killed.

    Args:
        scenario: What to do.
        progress: Called as the run proceeds.

    Returns:
        The measurements, in the order of ``choose_cells``.

    Raises:
        ConfigError: The promise cannot be kept, or no cell matches.
        UnsupportedError: This kernel lacks an option that the plan needs.
        MissingExtra: pyroute2 is not installed.
        LabError: Networks cannot be built here; says why.
    """
    scenario = fitted(scenario)
    cells = {cell.id: to_plain(cell) for cell in choose_cells(scenario)}
    started = datetime.now().astimezone().isoformat(timespec="seconds")
    started_at = time.monotonic()
    found: dict[str, Measurement] = {}
    rootless = False
    precision: Precision | None = None
    with Child("deadpeer.lab.worker") as worker:
        worker.tell(scenario=to_plain(scenario), cells=list(cells.values()))
        while (event := worker.hear(patience=PATIENCE))["what"] != "end":
            if event["what"] == "error":
                raise _error(event)
            if event["what"] == "able":
                rootless = event["rootless"]
                continue
            if event["what"] == "precision":
                if event["plain"] is not None:
                    precision = from_plain(Precision, event["plain"])
                continue
            news = _progress(event, cells)
            if news.measurement:
                found[news.measurement.cell.id] = news.measurement
            if progress:
                progress(news)
    return Run(
        kernel=os.uname().release,
        scenario=scenario,
        settings=settings_for(scenario),
        rootless=rootless,
        started=started,
        took=time.monotonic() - started_at,
        measurements=tuple(found[name] for name in cells),
        precision=precision,
    )


def _progress(event: dict[str, Any], cells: dict[str, dict[str, Any]]) -> Progress:
    measurement = None
    if event["what"] == "measured":
        cell = cells[event["id"]] | event["written"]
        measurement = from_plain(Measurement, event["plain"] | {"cell": cell})
    return Progress(
        what=event["what"],
        elapsed=event["elapsed"],
        total=event["total"],
        fault=event["fault"],
        measurement=measurement,
    )


def _error(event: dict[str, Any]) -> LabError:
    kind = getattr(errors, event["kind"], LabError)
    error: LabError = kind(event["message"], hint=event["hint"])
    return error
