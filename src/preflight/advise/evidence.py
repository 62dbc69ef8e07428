"""Paired comparison of two settings over the same seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
# A gain below this share of the score is not worth a changed line, however certain it is.
MIN_GAIN = 0.02
FLOOR = 1e-6


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

    def __str__(self) -> str:
        return f"{percent(self.gain)} ({self.interval}, {self.seeds} seeds)"

    @property
    def interval(self) -> str:
        """``low`` to ``high``, in percent."""
        return f"{percent(self.low)} to {percent(self.high)}"


def percent(share: float) -> str:
    """A share in percent: no decimals, or as many as tell it from 100%."""
    decimals = 0 if not 0.985 < share < 1 else min(3, max(1, math.ceil(-math.log10(1 - share)) - 2))
    return f"{share:.{decimals}%}"


def effect(before: Mapping[int, float], after: Mapping[int, float], comparisons: int = 1) -> Effect:
    """Effect on a score by seed, lower is better; only seeds that both have count.

    ``comparisons`` widens the interval for having looked at several (Bonferroni). With fewer than two common seeds
    the noise is unknown and the interval is everything.
    """
    seeds = sorted(set(before) & set(after))
    logs = np.array([math.log(max(after[s], FLOOR) / max(before[s], FLOOR)) for s in seeds])
    if len(logs) < 2:
        gain = 1 - math.exp(float(logs[0])) if len(logs) else math.nan
        return Effect(gain, -math.inf, 1.0, len(logs))
    mean, error = float(logs.mean()), float(logs.std(ddof=1)) / math.sqrt(len(logs))
    t = float(stdtrit(len(logs) - 1, 1 - (1 - CONFIDENCE) / (2 * comparisons)))
    return Effect(1 - math.exp(mean), 1 - math.exp(mean + t * error), 1 - math.exp(mean - t * error), len(logs))
