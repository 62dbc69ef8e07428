"""Chosen settings, refined at the confirming length: the rate in the middle of its valley, the shortest warmup.

A short trial ranks learning rates as short runs do: it favours low ones, and one seed each tells neighbours apart by
luck. What is chosen from it is a start, from which a climb in quarter decades over paired seeds finds the valley.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from preflight.advise.choose import Measure, Scores
from preflight.advise.evidence import CEILING, FLOOR
from preflight.advise.recommendation import Near
from preflight.core.params import Params

STEP = 0.25  # decades
# Steps from the start, to either side: a decade, beyond which another candidate would have led.
MAX_STEPS = 4
# A rate that scores twice the best one is the wall of the valley.
WALL = math.log(2)

Limits = tuple[float, float]


@dataclass(frozen=True)
class Room:
    """What may be refined: learning rates between ``lr``, None for none, and ``warmups`` as shares of the run."""

    lr: Limits | None = None
    warmups: tuple[float, ...] = ()


def learning_rate(start: Params, measure: Measure, limits: Limits) -> tuple[Params, tuple[Near, ...]]:
    """``start`` with its learning rate in the middle of the valley, inside ``limits``; and the rates that were seen."""
    found: dict[int, Scores] = {}
    levels: dict[int, float] = {}

    def look(steps: Iterable[int]) -> None:
        new = [step for step in steps if step not in found and _is_allowed(start, step, limits)]
        for step, scores in zip(new, measure([_moved(start, step) for step in new], 1), strict=True):
            found[step], levels[step] = scores, level(scores)

    best = 0
    look((-1, 0, 1))
    for _ in range(MAX_STEPS):
        lower = min((best - 1, best, best + 1), key=lambda step: levels.get(step, math.inf))
        if lower == best:
            break
        best = lower
        look((best - 1, best + 1))
    # How wide the valley is: what lies two steps away, where one step away is no wall yet.
    look(best + 2 * side for side in (-1, 1) if levels.get(best + side, math.inf) <= levels[best] + WALL)
    chosen = _moved(start, _valley(levels, best))
    return chosen, tuple(_near(_moved(start, step).lr, found[step]) for step in sorted(found))


def shorter_warmups(today: Params, start: Params, warmups: Iterable[float]) -> list[Params]:
    """``start`` with warmups shorter than its own, the shortest first.

    Without today's, which is asked for where each change is taken back; none where the warmup is today's.
    """
    if start.warmup_fraction == today.warmup_fraction:
        return []
    shorter = sorted(value for value in warmups if value < start.warmup_fraction and value != today.warmup_fraction)
    return [start.with_values({"warmup_fraction": value}) for value in shorter]


def level(scores: Scores) -> float:
    """Mean logarithm of the scores, of which none counts more than a constant prediction ten times over."""
    values = np.nan_to_num(np.array(list(scores.values()), dtype=np.float64), nan=np.inf, posinf=np.inf)
    values = np.minimum(values, CEILING)
    return float(np.log(np.maximum(values, FLOOR)).mean()) if values.min() > 0 else float(values.mean())


def _is_allowed(start: Params, step: float, limits: Limits) -> bool:
    return step == 0 or limits[0] <= _moved(start, step).lr <= limits[1]


def _moved(start: Params, step: float) -> Params:
    return start if step == 0 else start.with_values({"lr": float(f"{start.lr * 10 ** (STEP * step):.2g}")})


def _valley(levels: Mapping[int, float], best: int) -> float:
    """Where a rate and its neighbours do best together, which is away from a wall beside the best rate itself."""
    smooth = {step: _smooth(levels, step) for step in levels}
    middle = min((step for step in (best - 1, best, best + 1) if step in levels), key=smooth.__getitem__)
    low, high = smooth.get(middle - 1), smooth.get(middle + 1)
    if low is None or high is None or low + high <= 2 * smooth[middle]:
        return middle
    shift = 0.5 * (low - high) / (low - 2 * smooth[middle] + high)  # of a parabola through the three
    return middle + min(max(shift, -0.5), 0.5)


def _smooth(levels: Mapping[int, float], step: int) -> float:
    """Mean over a rate and its neighbours, itself twice; one that was not tried is as its other neighbour."""
    low, high = levels.get(step - 1), levels.get(step + 1)
    sides = [value for value in (low, high) if value is not None] or [levels[step]]
    return (levels[step] + sum(sides) / len(sides)) / 2


def _near(lr: float, scores: Scores) -> Near:
    values = list(scores.values())
    typical = math.exp(level(scores)) if min(values) > 0 else float(np.mean(values))
    return Near(lr, typical, max(values), dict(scores))
