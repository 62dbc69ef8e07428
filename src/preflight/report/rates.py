"""What the learning rate does: its ladders, and the score of every explored trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from preflight.advise.ladder import Rung, read_ladder
from preflight.core.errors import InputError
from preflight.report.comparison import OTHER, TODAY
from preflight.report.sources import SCORED, Sources, normalization_label, penalized_score
from preflight.telemetry.recording import Recording, Run

MAX_GROUPS = 6
# Colours beside those of today's and the recommended settings; the last one is for the rest.
COLORS = ("c0", "c1", "c2", "c3", "c4")
REST_COLOR = "c5"
OTHERS = "other normalizations"


@dataclass(frozen=True)
class Ladder:
    """Rungs of one normalization in rising order; an unfinished one was read from the runs that there are."""

    label: str
    rungs: tuple[Rung, ...]
    finished: bool = True


@dataclass(frozen=True)
class Point:
    """An explored trial: ``score`` is NaN for one that did not end with any. ``group`` is what colours it."""

    lr: float
    score: float
    group: str
    status: str
    is_today: bool = False


def ladders(sources: Sources) -> list[Ladder]:
    """Ladders of run.json, then those that the run ended in the middle of."""
    known = sources.run.info.get("ladders", {})
    found = [Ladder(label, tuple(Rung(**rung) for rung in rungs)) for label, rungs in known.items()]
    pending: dict[str, list[Recording]] = {}
    for recording in sources.of("range"):
        label = normalization_label(recording.params)
        if label not in known and recording.status != "interrupted":
            pending.setdefault(label, []).append(recording)
    return found + [Ladder(label, rungs, finished=False) for label, items in pending.items() if (rungs := _read(items))]


def ladder_note(run: Run) -> str:
    """What the verdicts of a ladder hold for."""
    return (
        f"Each learning rate was held constant for {run.info['budget']['range_steps']} steps, without warmup or "
        "schedule: that only bounds the search, and the rate that is best over a whole run can be another one."
    )


def _read(recordings: Sequence[Recording]) -> tuple[Rung, ...]:
    try:
        return tuple(read_ladder(recordings))
    except (InputError, KeyError):  # runs without their CSV files
        return ()


def ranked(sources: Sources) -> list[Recording]:
    """Explored trials, best first; those without a usable score last, in the order they ran."""
    return sorted(sources.of("explore"), key=lambda item: (penalized_score(item), not has_score(item)))


def has_score(recording: Recording) -> bool:
    """Whether the trial ended with a score that counts."""
    return recording.status in SCORED and math.isfinite(recording.score)


def roles(labels: Sequence[str], sources: Sources) -> dict[str, str]:
    """Colour of each normalization: that of today's settings, of the recommended ones, or one of its own."""
    found = {normalization_label(sources.today): TODAY}
    if sources.recommendation is not None:
        found.setdefault(normalization_label(sources.recommendation.recommended), OTHER)
    rest = [label for label in dict.fromkeys(labels) if label not in found]
    own = {label: COLORS[index % len(COLORS)] for index, label in enumerate(rest)}
    return {label: {**found, **own}[label] for label in dict.fromkeys(labels)}


def group_roles(found: Sequence[Point], sources: Sources) -> dict[str, str]:
    """Colour of each group of points: of its normalization, or one of its own for an outcome."""
    groups = list(dict.fromkeys(point.group for point in found))
    if all(point.group == point.status for point in found):
        return {group: COLORS[index % len(COLORS)] for index, group in enumerate(groups)}
    own = roles([group for group in groups if group != OTHERS], sources)
    return {group: own.get(group, REST_COLOR) for group in groups}


def points(sources: Sources) -> list[Point]:
    """Explored trials, coloured by normalization, or by outcome where all share one."""
    explored = sources.of("explore")
    labels = [normalization_label(recording.params) for recording in explored]
    kept = list(dict.fromkeys(labels))[:MAX_GROUPS]
    single = len(kept) == 1
    return [
        Point(
            lr=recording.params.lr,
            score=recording.score if has_score(recording) else math.nan,
            group=recording.status if single else (label if label in kept else OTHERS),
            status=recording.status,
            is_today=recording.params.key() == sources.today.key(),
        )
        for recording, label in zip(explored, labels, strict=True)
    ]
