"""Everything that the report reads of a run, opened once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflight.advise.ladder import ladder_label
from preflight.advise.recommendation import Recommendation
from preflight.core.errors import InputError
from preflight.core.params import Params
from preflight.telemetry import store
from preflight.telemetry.recording import Recording, Run

SCORED = ("completed", "pruned")


@dataclass(frozen=True)
class Sources:
    """A run's documents and finished trials; what it ended before is None."""

    run: Run
    inspection: Mapping[str, Any]
    today: Params
    recommendation: Recommendation | None
    recordings: tuple[Recording, ...]
    findings: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, run_dir: Path) -> Sources:
        """Open a run directory; raises :class:`InputError` where there is none."""
        run = Run.open(run_dir)
        inspection = run.document(store.INSPECTION)
        if inspection is None:
            raise InputError(f"{run_dir} has no {store.INSPECTION}: there is nothing to report")
        answer = run.document(store.RECOMMENDATION)
        return cls(
            run=run,
            inspection=inspection,
            today=Params(**inspection["today"]),
            recommendation=None if answer is None else Recommendation.from_dict(answer),
            recordings=tuple(run.recordings()),
            findings=run.document(store.FINDINGS),
        )

    @property
    def decision(self) -> str:
        """``change``, ``keep`` or ``cannot_tell``; empty without a recommendation."""
        return "" if self.recommendation is None else self.recommendation.decision

    @property
    def metric_name(self) -> str:
        """Name of the task's metric; empty where it has none."""
        metric = self.run.info.get("metric")
        return "" if metric is None else str(metric["name"])

    def of(self, purpose: str) -> tuple[Recording, ...]:
        """Recorded trials of one stage in the order they ran."""
        return tuple(recording for recording in self.recordings if recording.purpose == purpose)

    def finished(self, purpose: str) -> tuple[Recording, ...]:
        """Those of :meth:`of` that came to an end of their own: a run that is stopped cuts one short."""
        return tuple(recording for recording in self.of(purpose) if recording.status != "interrupted")


def normalization_label(params: Params) -> str:
    """``input: standardize``, as run.json names its ladders."""
    return ladder_label(params)


def outcome(recording: Recording) -> str:
    """How it ended, in words."""
    return recording.status.replace("_", " ")


def is_recorded(recording: Recording) -> bool:
    """Whether there are losses to read; a file that cannot be read is as good as none."""
    try:
        return recording.was_recorded
    except InputError:
        return False


def penalized_score(recording: Recording) -> float:
    """Score that the choice was made by: finite, and the worst one for a run that did not end with a score."""
    value = recording.info.get("penalized_score")
    return float("inf") if value is None else float(value)
