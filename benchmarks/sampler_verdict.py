"""Searches -> figures: how good what they chose is, beside what preflight uses, and whether the targets hold."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Fixed before anything was measured.
CONFIDENCE, RESAMPLES = 0.95, 10_000
# A run that was lost, or is worse than a constant prediction, counts as that; scores are never zero.
CONSTANT, LEAST = 1.0, 1e-6

# ``{(task, sampler seed): value}`` of one method.
Cells = Mapping[tuple[str, int], float]


def typical(scores: Mapping[int, float]) -> float:
    """Median over the judging seeds, at most that of a constant prediction."""
    return max(LEAST, min(CONSTANT, statistics.median(scores.values())))


def regrets(found: Cells, best: Mapping[str, float]) -> dict[tuple[str, int], float]:
    """How much higher the scores are than the best known one of their task, as a share of that."""
    return {key: value / best[key[0]] - 1 for key, value in found.items()}


def ratio(other: Cells, ours: Cells, comparisons: int) -> tuple[float, float, float]:
    """Geometric mean of ``other / ours`` over the cells that both have, and its interval: below 1, the other is better.

    Every task counts alike. The interval is a bootstrap over the sampler seeds of each task, wider for several
    ``comparisons`` (Bonferroni); the tasks are taken as they are, so it says nothing of other tasks.
    """
    logs: dict[str, list[float]] = {}
    for task, seed in sorted(set(other) & set(ours)):
        logs.setdefault(task, []).append(math.log(other[task, seed] / ours[task, seed]))
    if not logs:
        return math.nan, 0.0, math.inf
    draws = np.random.default_rng(0)
    means = np.mean([_resampled(np.array(values), draws) for values in logs.values()], axis=0)
    tail = (1 - CONFIDENCE) / 2 / comparisons
    low, high = np.quantile(means, [tail, 1 - tail])
    middle = statistics.fmean(statistics.fmean(values) for values in logs.values())
    return math.exp(middle), math.exp(low), math.exp(high)


def _resampled(values: Any, draws: np.random.Generator) -> Any:
    return values[draws.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)


def summary(scores: Mapping[str, Cells], ours: str, best: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """By method: regret, median and worst over tasks and seeds, by task, and the ratio to what preflight uses."""
    return {name: _row(found, scores[ours], best, len(scores) - 1, name == ours) for name, found in scores.items()}


def _row(found: Cells, ours: Cells, best: Mapping[str, float], comparisons: int, is_ours: bool) -> dict[str, Any]:
    lost = regrets(found, best)
    tasks = dict.fromkeys(task for task, _ in found)
    return {
        "regret": statistics.median(lost.values()),
        "worst_regret": max(lost.values()),
        "by_task": {task: statistics.median(value for key, value in lost.items() if key[0] == task) for task in tasks},
        "ratio": None if is_ours else ratio(found, ours, comparisons),
    }


def target(kind: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """No other is better beyond the noise: none whose whole interval lies below 1."""
    highs = {name: row["ratio"][2] for name, row in rows.items() if row["ratio"] is not None}
    nearest = min(highs, key=highs.__getitem__)
    return {
        "name": f"{kind}: none is better than ours beyond the noise; nearest: {nearest}",
        "target": ">= 1",
        "value": highs[nearest],
        "holds": highs[nearest] >= 1,
    }


def best_so_far(trials: Sequence[Mapping[str, Any]], steps: int) -> float:
    """Lowest score of the completed trials that ended within ``steps``; infinite before there is one."""
    spent, best = 0, math.inf
    for trial in trials:
        spent += trial["steps"]
        if spent <= steps and trial["status"] == "completed" and trial["score"] is not None:
            best = min(best, trial["score"])
    return best
