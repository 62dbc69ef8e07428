"""Values so far from all others that no distribution explains them: an overflow, a sentinel, a corrupted record."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

TIP = 0.001  # share of the values that may lie beyond the shoulder of a distribution
MIN_TIP = 3  # values that may, where there are few
MIN_VALUES = 32
# How far a tail goes is extrapolated as a power law from its first tenth of the values. The largest goes beyond that by
# another 3 decades of probability in one of 1000 samples. 100 shoulders are 300 standard deviations.
TENTH, DECADE = 0.1, 10
SPARE_DECADES = 3.0
MIN_GROSS = 100.0
# The square of a larger number is infinite in float32.
MAX_SQUARED = math.sqrt(torch.finfo(torch.float32).max)


@dataclass(frozen=True)
class Range:
    """Where the values of a feature lie: all but one in a thousand within ``shoulder`` of ``middle``, none legitimately
    beyond ``reach`` of it.
    """

    middle: float
    shoulder: float
    reach: float

    @property
    def low(self) -> float:
        """Smallest value that is no outlier."""
        return self.middle - self.reach

    @property
    def high(self) -> float:
        """Largest value that is no outlier."""
        return self.middle + self.reach


def usual_range(values: Tensor, total: int) -> Range:
    """Range of a feature from some of its ``total`` values, ``values[N]``, not all of which need be finite."""
    finite = values[values.isfinite()].double()
    size = len(finite)
    if size < MIN_VALUES:
        return Range(0.0, math.inf, math.inf)
    middle = float(finite.median())
    distances = (finite - middle).abs().sort().values
    tip = max(MIN_TIP, int(TIP * size))
    shoulder = float(distances[size - 1 - tip])
    rank = max(DECADE * tip, int(TENTH * size))
    inner = float(distances[max(0, size - 1 - rank)])
    # Rare values with nothing in between, as in a column of zeros, tell nothing of how far they may go.
    growth = shoulder / inner if inner > 0 else math.inf
    decades = (math.log10(tip * max(total, size) / size) + SPARE_DECADES) / math.log10(rank / tip)
    reach = _power(growth, decades) * shoulder if shoulder > 0 else math.inf
    return Range(middle, shoulder, max(MIN_GROSS * shoulder, min(reach, MAX_SQUARED)))


def _power(growth: float, decades: float) -> float:
    try:
        return math.pow(growth, decades)
    except OverflowError:
        return math.inf
