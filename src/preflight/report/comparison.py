"""Which recorded runs stand for today's settings, and which for the ones to compare them with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from preflight.advise.evidence import effect
from preflight.core.params import Params
from preflight.report.sources import Sources, penalized_score
from preflight.telemetry.recording import Recording

PROOF, CONFIRM, EXPLORE = "proof", "confirm", "explore"
STAGES = (PROOF, CONFIRM, EXPLORE)
TODAY, OTHER = "today", "other"


@dataclass(frozen=True)
class Side:
    """Runs of the same settings, one a seed. ``role`` is :data:`TODAY` or :data:`OTHER`."""

    role: str
    label: str
    recordings: tuple[Recording, ...]

    @property
    def params(self) -> Params:
        """The settings that all of them trained with."""
        return self.recordings[0].params


@dataclass(frozen=True)
class Comparison:
    """Today's runs first, then the others, both of one stage; one of them may be missing."""

    stage: str
    sides: tuple[Side, ...]

    def side(self, role: str) -> Side | None:
        """The side with this role."""
        return next((side for side in self.sides if side.role == role), None)


def compare(sources: Sources) -> Comparison | None:
    """The strongest stage that has both sides, else the strongest that has any; None where nothing was trained."""
    found = [of_stage(stage, sources) for stage in STAGES]
    recorded = [comparison for comparison in found if comparison.sides]
    complete = [comparison for comparison in recorded if len(comparison.sides) == 2]
    return next(iter(complete or recorded), None)


def of_stage(stage: str, sources: Sources) -> Comparison:
    """Today's runs of a stage and those of its best other settings."""
    groups: dict[object, list[Recording]] = {}
    for recording in sources.of(stage):
        groups.setdefault(recording.params.key(), []).append(recording)
    today = groups.pop(sources.today.key(), [])
    other = _best(today, list(groups.values()), stage)
    sides = (
        Side(TODAY, "today's settings", tuple(today)),
        Side(OTHER, _label(stage, other, sources), tuple(other)),
    )
    return Comparison(stage, tuple(side for side in sides if side.recordings))


def _best(today: Sequence[Recording], candidates: Sequence[list[Recording]], stage: str) -> list[Recording]:
    """The candidate that was compared with today's settings on most seeds, and of those the one that gained most."""
    if stage == EXPLORE:
        candidates = [group for group in candidates if group[0].status == "completed"]
    before = _scores(today)

    def weight(group: Sequence[Recording]) -> tuple[int, float]:
        found = effect(before, _scores(group))
        return found.seeds, found.gain if found.seeds else 0.0

    return max(candidates, key=weight, default=[])


def _scores(recordings: Sequence[Recording]) -> dict[int, float]:
    found = {recording.seed: penalized_score(recording) for recording in recordings}
    return {seed: score for seed, score in found.items() if math.isfinite(score)}


def _label(stage: str, other: Sequence[Recording], sources: Sources) -> str:
    if stage == EXPLORE:
        return "best explored settings"
    answer = sources.recommendation
    is_recommended = answer is not None and other and other[0].params.key() == answer.recommended.key()
    return "recommended settings" if is_recommended else "best candidate"
