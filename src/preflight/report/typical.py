"""One number for a setting's scores or metrics over several seeds, the same on the terminal and in the report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from preflight.advise.evidence import FLOOR, comparable
from preflight.advise.recommendation import Measured

GEOMETRIC_MEAN, MEAN = "geometric mean", "mean"


@dataclass(frozen=True)
class Typical:
    """Typical score of each side, what kind of mean it is, and of how many seeds.

    ``ceiling`` is what scores beyond it were counted as, None where there are none.
    """

    scores: tuple[float, ...]
    statistic: str
    seeds: int
    ceiling: float | None = None

    def of(self, seeds: str) -> str:
        """``geometric mean of 5 seeds, none counted above 10``."""
        cut = "" if self.ceiling is None else f", none counted above {self.ceiling:.3g}"
        return f"{self.statistic} of {seeds}{cut}"


def typical(*sides: Measured) -> Typical:
    """Geometric means, since the gain is their ratio: it is measured on the log of paired scores.

    Where a loss can go below zero the gain is measured on differences, and the means are plain ones. What is lost or
    far off counts as in the gain. One side or two.
    """
    first, last = list(sides[0].scores.values()), list(sides[-1].scores.values())
    known = [list(map(float, scores)) for scores in comparable(first, last)][: len(sides)]
    signed = any(value < 0 for values in known for value in values)
    means = tuple((_mean if signed else _geometric_mean)(values) for values in known)
    highest = max((value for values in known for value in values), default=0.0)
    is_cut = any(not value <= highest for side in sides for value in side.scores.values())
    return Typical(means, MEAN if signed else GEOMETRIC_MEAN, max(map(len, known)), highest if is_cut else None)


def typical_metric(side: Measured) -> float:
    """Mean over the seeds that have one; NaN for none."""
    return _mean(_finite(side.metrics))


def _finite(by_seed: Mapping[int, float]) -> list[float]:
    return [value for value in by_seed.values() if math.isfinite(value)]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _geometric_mean(values: list[float]) -> float:
    return math.exp(_mean([math.log(max(value, FLOOR)) for value in values]))
