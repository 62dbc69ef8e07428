"""Which settings to confirm, which changes earn their place, and what may be claimed in the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.special import stdtrit

from preflight.advise.evidence import CONFIDENCE, Effect, effect
from preflight.advise.recommendation import Change, Measured
from preflight.core.params import Params

Scores = Mapping[int, float]
Measure = Callable[[Sequence[Params]], list[Scores]]
"""Scores by seed of several settings; trains what was not trained yet, side by side where it can."""

# A network that died and predicts a constant can halve the score of a bad start, and is no fix.
CONSTANT_PREDICTOR = 1.0


def leaders(explored: Sequence[tuple[Params, float]], today: Params, count: int) -> list[Params]:
    """The ``count`` best explored settings that differ from today's and from each other; lower scores are better."""
    found: dict[object, Params] = {}
    for params, score in sorted(explored, key=lambda item: item[1]):
        if math.isfinite(score) and params.key() != today.key():
            found.setdefault(params.key(), params)
    return list(found.values())[:count]


def best_candidate(today: Params, candidates: Sequence[Params], measure: Measure) -> tuple[Params, Effect]:
    """The candidate with the largest mean effect, its interval widened for the number that was looked at."""
    before, *after = measure([today, *candidates])
    effects = [effect(before, scores, len(candidates)) for scores in after]
    return max(zip(candidates, effects, strict=True), key=lambda item: item[1].gain)


def minimal(today: Params, best: Params, measure: Measure) -> tuple[Params, dict[str, Effect]]:
    """Leave out the changes that earn nothing; what each remaining one adds to all the others.

    A change earns its place if the score is better with it than without it, the others being made. Of several that
    do not, all are left out at once if the score stays as good; otherwise, since they may stand in for each other,
    only the one that adds least, and the rest is asked again.
    """
    current = best
    while True:
        changes = current.changes_from(today)
        without = {name: current.with_values({name: today.flat().get(name)}) for name in changes}
        now, *others = measure([current, *without.values()])
        needed = {name: effect(scores, now) for name, scores in zip(without, others, strict=True)}
        idle = [name for name, gain in needed.items() if not gain.is_better]
        if not idle:
            return current, needed
        least = without[min(idle, key=lambda name: needed[name].gain)]
        stripped = current.with_values({name: today.flat().get(name) for name in idle})
        current = stripped if _as_good(stripped, current, measure) else least


def _as_good(fewer: Params, more: Params, measure: Measure) -> bool:
    without, with_them = measure([fewer, more])
    return not effect(without, with_them).is_better


def changes(today: Params, chosen: Params, needed: Mapping[str, Effect], measure: Measure) -> tuple[Change, ...]:
    """The changed settings, each with its effect alone."""
    flat, changed = today.flat(), chosen.changes_from(today)
    before, *after = measure([today, *(today.with_values({name: new}) for name, new in changed.items())])
    return tuple(
        Change(name, flat.get(name), new, effect(before, scores), needed[name])
        for (name, new), scores in zip(changed.items(), after, strict=True)
    )


def beats_constant(scores: Scores) -> bool:
    """Whether the settings do better than the best constant predictor on most seeds."""
    return float(np.median(list(scores.values()))) < CONSTANT_PREDICTOR


def metric_is_worse(before: Measured, after: Measured, goal: str) -> bool:
    """Whether the task's own metric got worse beyond the seeds' noise although the score got better."""
    seeds = [s for s in before.metrics if math.isfinite(before.metrics[s]) and math.isfinite(after.metrics[s])]
    if len(seeds) < 2:
        return False
    sign = 1 if goal == "maximize" else -1
    gains = np.array([sign * (after.metrics[s] - before.metrics[s]) for s in seeds])
    error = float(gains.std(ddof=1)) / math.sqrt(len(gains))
    return float(gains.mean()) + error * float(stdtrit(len(gains) - 1, 1 - (1 - CONFIDENCE) / 2)) < 0
