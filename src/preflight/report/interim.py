"""What a run that ended before its recommendation has found so far: one seed, short trials, nothing confirmed."""

from __future__ import annotations

from dataclasses import dataclass

from preflight.core.params import ParamValue
from preflight.report.comparison import EXPLORE, OTHER, TODAY, of_stage
from preflight.report.sources import Sources, penalized_score
from preflight.telemetry.recording import Recording


@dataclass(frozen=True)
class Interim:
    """The best completed trial beside that of today's settings, both of the same length and on the same seed."""

    trials: int
    today: Recording
    best: Recording

    @property
    def is_better(self) -> bool:
        """Whether the best of them beats today's settings."""
        return self.scores[1] < self.scores[0]

    @property
    def scores(self) -> tuple[float, float]:
        """Of today's settings, as it counts where they did not get to the end, and of the best."""
        return penalized_score(self.today), penalized_score(self.best)

    @property
    def changes(self) -> dict[str, tuple[ParamValue, ParamValue]]:
        """Settings of the best trial that differ from today's, each with today's value and its own."""
        flat = self.today.params.flat()
        return {name: (flat.get(name), new) for name, new in self.best.params.changes_from(self.today.params).items()}


def interim(sources: Sources) -> Interim | None:
    """None once there is a recommendation, and while there are not both sides."""
    if sources.recommendation is not None:
        return None
    comparison = of_stage(EXPLORE, sources)
    today, best = comparison.side(TODAY), comparison.side(OTHER)
    if today is None or best is None:
        return None
    return Interim(len(sources.finished(EXPLORE)), today.recordings[0], best.recordings[0])
