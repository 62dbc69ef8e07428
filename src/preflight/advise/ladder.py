"""The table of learning rates: several seeds on every rung, and a verdict that no single run can overturn."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from preflight.core.params import Params
from preflight.rules.predicates import (
    EXPLODED_RATIO,
    UNSTEADY_RATIO,
    are_decreasing,
    growth_of_gradient,
    has_run_away,
)
from preflight.telemetry.recording import Recording

EXPLODES, UNSTEADY, STABLE, BEST = "explodes", "unsteady", "stable", "best"
# What does not learn is below or above what does; where nothing learns there is no telling.
# A network that died hovers around the best constant prediction.
LOST_SHARE = 0.95
NO_PROGRESS, TOO_SLOW, TOO_HIGH = "no progress", "too slow", "too high"
# The loss falls, and ends no lower than where another rate stands still: it came back from a spike, or fell to what a
# constant output gives.
NOTHING_GAINED = "nothing gained"


@dataclass(frozen=True)
class Rung:
    """What runs of one constant learning rate did. Norms are of the whole gradient, before clipping."""

    lr: float
    normalization: str
    seeds: int
    median_max_norm: float
    worst_max_norm: float
    decreasing: bool
    exploded: int
    exploded_at: str
    final_loss: float
    verdict: str


def ladder_label(params: Params) -> str:
    """Name of the ladder that was climbed with these normalizations; fields that have none are left out."""
    return params.normalization_label or "inputs as they are"


def read_ladder(recordings: Sequence[Recording], constant: float | None = None) -> list[Rung]:
    """Rungs by rising learning rate, from recordings of one normalization; runs without a step are left out.

    ``constant`` is the loss of the best constant predictor: a rate above the best one that ends no better than that
    has lost the network, even if it fell from a worse start.
    """
    by_lr: dict[float, list[Recording]] = {}
    for recording in recordings:
        if not recording.was_recorded:
            continue
        by_lr.setdefault(recording.params.lr, []).append(recording)
    rungs = _without_luck([_rung(lr, by_lr[lr]) for lr in sorted(by_lr)])
    learning = [rung for rung in rungs if rung.verdict in (STABLE, UNSTEADY)]
    if not learning:
        return rungs
    steady = [rung for rung in learning if rung.verdict == STABLE]
    best = min(steady or learning, key=lambda rung: rung.final_loss)
    if constant is not None and best.final_loss > constant:
        return rungs  # the least bad of rates that all end above a constant prediction
    return [replace(rung, verdict=_beside(rung, best, constant)) for rung in rungs]


def lr_bounds(rungs: Sequence[Rung]) -> tuple[float, float]:
    """Range worth searching: half a decade around the rates at which most seeds learn.

    The whole ladder where none does, since a short run may be too short to show anything.
    """
    learning = [rung.lr for rung in rungs if rung.verdict in (STABLE, UNSTEADY, BEST)]
    if not learning:
        return rungs[0].lr, rungs[-1].lr
    margin = math.sqrt(10)
    return min(learning) / margin, max(learning) * margin


def _rung(lr: float, recordings: Sequence[Recording]) -> Rung:
    peaks = np.array([recording.max_gradient_norm for recording in recordings])
    losses = [recording.losses["total"].to_numpy(dtype=float) for recording in recordings]
    exploded = [_exploded(recording, loss) for recording, loss in zip(recordings, losses, strict=True)]
    decreasing = are_decreasing([loss for loss, is_bad in zip(losses, exploded, strict=True) if not is_bad])
    places = Counter(r.worst_parameter for r, is_bad in zip(recordings, exploded, strict=True) if is_bad)
    growth = float(np.median([_growth(recording) for recording in recordings]))
    return Rung(
        lr=lr,
        normalization=ladder_label(recordings[0].params),
        seeds=len(recordings),
        median_max_norm=float(np.median(peaks)),
        worst_max_norm=float(peaks.max()),
        decreasing=decreasing,
        exploded=sum(exploded),
        exploded_at=places.most_common(1)[0][0] if places else "",
        final_loss=float(np.median([_final(loss) for loss in losses])),
        verdict=_verdict(len(recordings), sum(exploded), decreasing, growth),
    )


def _without_luck(rungs: Sequence[Rung]) -> list[Rung]:
    idle = min((rung.final_loss for rung in rungs if rung.verdict == NO_PROGRESS), default=math.inf)
    return [
        replace(rung, verdict=NOTHING_GAINED)
        if rung.verdict in (STABLE, UNSTEADY) and rung.final_loss >= idle
        else rung
        for rung in rungs
    ]


def _beside(rung: Rung, best: Rung, constant: float | None) -> str:
    if rung is best:
        return BEST
    if rung.verdict in (STABLE, UNSTEADY) and rung.lr > best.lr and _is_lost(rung, best, constant):
        return TOO_HIGH
    if rung.verdict not in (NO_PROGRESS, NOTHING_GAINED):
        return rung.verdict
    return TOO_SLOW if rung.lr < best.lr else TOO_HIGH


def _is_lost(rung: Rung, best: Rung, constant: float | None) -> bool:
    return constant is not None and best.final_loss < LOST_SHARE * constant <= rung.final_loss


def _verdict(seeds: int, exploded: int, decreasing: bool, growth: float) -> str:
    if 2 * exploded >= seeds:
        return EXPLODES
    if not decreasing:
        return NO_PROGRESS
    return UNSTEADY if growth > UNSTEADY_RATIO or exploded else STABLE


def _exploded(recording: Recording, losses: np.ndarray) -> bool:
    return _growth(recording) > EXPLODED_RATIO or not np.isfinite(losses).all() or has_run_away(losses)


def _growth(recording: Recording) -> float:
    return growth_of_gradient(recording.gradient_norms["overall"].to_numpy(dtype=float))


def _final(losses: np.ndarray) -> float:
    """Median of the last quarter; infinite where that is not finite, so that the median over the seeds stands."""
    value = float(np.median(losses[-max(1, len(losses) // 4) :])) if len(losses) else math.nan
    return value if math.isfinite(value) else math.inf
