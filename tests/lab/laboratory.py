"""A laboratory without networks: it answers at once, with a run made by hand."""

from dataclasses import replace

from tests.lab.made_run import made_run

from deadpeer.lab.runner import Progress
from deadpeer.lab.scenario import Run, Scenario

__all__ = ["Laboratory"]


class Laboratory:
    """Stands in for half a minute of waiting: answers with a run made by hand."""

    def __init__(self) -> None:
        self.asked: list[Scenario] = []
        self.result: Run | None = None
        self.error: BaseException | None = None

    def run(self, scenario, *, progress):
        self.asked.append(scenario)
        if self.error:
            raise self.error
        found = self.result or made_run(scenario)
        progress(Progress(what="built", elapsed=1.0, total=30.0))
        for fault in dict.fromkeys(str(m.cell.fault) for m in found.measurements):
            progress(Progress(what="struck", elapsed=2.0, total=30.0, fault=fault))
        for m in found.measurements:
            news = Progress(what="measured", elapsed=6.5, total=30.0, measurement=m)
            progress(news)
        progress(Progress(what="beat", elapsed=30.0, total=30.0))
        return replace(found, scenario=scenario)
