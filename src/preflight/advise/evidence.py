"""Paired comparison of two settings over the same seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

CONFIDENCE = 0.95
# A gain below this share of the score is not worth a changed line, however certain it is.
MIN_GAIN = 0.02
# An interval wider than the whole score has not narrowed anything down; below this it is not spelled out.
VAGUE_WIDTH, LOWEST_SHOWN = 1.0, -1.0
# How bad the worst seeds of a comparison may count: so many times the better setting's median, or a constant
# prediction's. A run that was lost is as bad as that, and one seed that flew off says no more than that it did.
CEILING = 10.0
FLOOR = 1e-6
MAX_LOG = 700.0  # of a float64

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """What going from one setting to another does to the score: a gain of 0.3 is a score lower by 30%.

    ``low`` and ``high`` bound the gain at :data:`CONFIDENCE`, by a t-interval on the log ratio of paired scores.
    """

    gain: float
    low: float
    high: float
    seeds: int

    @property
    def is_better(self) -> bool:
        """A gain that is worth having and lies beyond the seeds' noise."""
        return self.low > 0 and self.gain >= MIN_GAIN

    @property
    def is_undecided(self) -> bool:
        """A gain that would be worth having, if more seeds show that it is one."""
        return self.gain >= MIN_GAIN and self.low <= 0

    @property
    def is_worse(self) -> bool:
        """A loss beyond the seeds' noise."""
        return self.high < 0

    @property
    def is_vague(self) -> bool:
        """Too few or too different seeds to say whether there is a gain."""
        return self.high - self.low > VAGUE_WIDTH and self.high >= MIN_GAIN

    def __str__(self) -> str:
        seeds = f"{self.seeds} seed{'s' * (self.seeds != 1)}"
        if self.gain < 0:
            return f"adds {percent(-self.gain)} to the validation score (gain {self.interval}, {seeds})"
        return f"takes {percent(self.gain)} off the validation score ({self.interval}, {seeds})"

    @property
    def interval(self) -> str:
        """``low`` to ``high``, in percent."""
        if math.isinf(self.low):
            return "interval unknown"
        low = f"below {percent(LOWEST_SHOWN)}" if self.low < LOWEST_SHOWN else percent(self.low)
        return f"{low} to {percent(self.high)}"


def percent(share: float) -> str:
    """A share in percent: no decimals, or as many as tell it from 100%, three at most."""
    if not 0.985 < share < 1:
        return f"{round(share, 2) + 0.0:.0%}"  # no minus before a zero
    decimals = min(3, max(1, math.ceil(-math.log10(1 - share)) - 2))
    # Cut and not rounded: what is not all of it must not read as all of it.
    text = f"{math.floor(share * 100 * 10**decimals + 1e-6) / 10**decimals:.{decimals}f}"
    return f"{text.rstrip('0').rstrip('.')}%"


def effect(before: Mapping[int, float], after: Mapping[int, float], comparisons: int = 1) -> Effect:
    """Effect on a score by seed, lower is better; only seeds that both have count.

    The interval is a t-interval on the log ratio of the scores or, where a loss can go below zero and ratios say
    nothing, on their difference as a share of the mean size before. ``comparisons`` widens it for having looked at
    several (Bonferroni). With fewer than two common seeds the noise is unknown and the interval is everything.
    """
    seeds = sorted(set(before) & set(after))
    if not seeds:
        return Effect(math.nan, -math.inf, 1.0, 0)
    old, new = comparable([before[seed] for seed in seeds], [after[seed] for seed in seeds])
    if min(old.min(), new.min()) < 0:
        mean, margin = _mean_and_margin((old - new) / max(np.abs(old).mean(), FLOOR), comparisons)
        return Effect(mean, mean - margin, mean + margin, len(seeds))
    mean, margin = _mean_and_margin(np.log(np.maximum(new, FLOOR) / np.maximum(old, FLOOR)), comparisons)
    return Effect(1 - math.exp(mean), 1 - _exp(mean + margin), 1 - _exp(mean - margin), len(seeds))


def comparable(before: Sequence[float], after: Sequence[float]) -> tuple[Scores, Scores]:
    """Scores of two settings with what is lost or far off cut at :data:`CEILING`, by the better one's median."""
    old, new = (
        np.nan_to_num(np.array(scores, dtype=np.float64), nan=np.inf, posinf=np.inf) for scores in (before, after)
    )
    medians = [float(np.median(scores)) for scores in (old, new) if len(scores)]
    middle = min((value for value in medians if math.isfinite(value)), default=1.0)
    ceiling = CEILING * max(1.0, middle)
    return np.minimum(old, ceiling), np.minimum(new, ceiling)


def _mean_and_margin(values: npt.NDArray[np.float64], comparisons: int) -> tuple[float, float]:
    """Mean and half the width of its t-interval, infinite for one value."""
    if len(values) < 2:
        return float(values[0]), math.inf
    t = float(stdtrit(len(values) - 1, 1 - (1 - CONFIDENCE) / (2 * comparisons)))
    return float(values.mean()), t * float(values.std(ddof=1)) / math.sqrt(len(values))


def _exp(value: float) -> float:
    return math.exp(value) if value < MAX_LOG else math.inf
