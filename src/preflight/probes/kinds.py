"""What kind of quantity a feature holds, told by the shape of its distribution.

Every question is answered by a statistic whose expectation does not depend on the number of values, so that a part of
the data gets the kind that all of it gets: ratios of L-moments (Hosking 1990, J. R. Stat. Soc. B 52, 105) and pairs of
equal values (Simpson 1949, Nature 163, 688); no extreme values, and no number of distinct ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

# With fewer values the shape says too little.
MIN_VALUES = 100
# Fewer whole numbers than this are as likely a count, an age or a grade as names for something.
MIN_IDENTIFIERS = 256
# L-kurtosis: 0 for a box, 0.05 for a triangle; 0.12 for a normal distribution, 0.17 for an exponential one.
MAX_IDENTIFIER_KURTOSIS = 0.10
# Gini coefficient of the distances from the median: 0.41 for a normal distribution, 0.50 for an exponential one, 0.54
# for a square of normals; 0.585 for a lognormal one of shape 1, 1 / (2 - s) for a generalised Pareto tail of shape s.
MIN_HEAVY_GINI = 0.56
# A tail that a logarithm shortens: the mean distance from the median is of the size of the median.
MIN_HEAVY_RATIO = 0.7


def classify(values: Tensor) -> str:
    """Kind of one feature, from its values ``[N]``: the first question that is answered with yes."""
    finite = values[values.isfinite()].double().sort().values
    if len(finite) == 0 or bool(finite[0] == finite[-1]):
        return "constant"
    if bool(((finite == 0) | (finite == 1)).all()):
        return "binary"
    whole = bool((finite == finite.round()).all() and finite[0] >= 0)
    if whole and _is_identifier(finite):
        return "identifier"
    if _is_heavy_tailed(finite):
        return "heavy_tailed"
    return "count" if whole else "continuous"


def _is_identifier(ordered: Tensor) -> bool:
    """Many whole numbers, none of them common, without tails."""
    if len(ordered) < MIN_VALUES:
        return False
    _, scale, fourth = _l_moments(ordered)
    return _effective_number(ordered) >= MIN_IDENTIFIERS and fourth <= MAX_IDENTIFIER_KURTOSIS * scale


def _effective_number(ordered: Tensor) -> float:
    """How many equally common values give as many pairs of equal ones (Simpson), as far as the range has room."""
    _, counts = ordered.unique_consecutive(return_counts=True)
    size = len(ordered)
    pairs = float((counts.double() * (counts - 1)).sum())
    room = float(ordered[-1] - ordered[0]) + 1
    return min(room, size * (size - 1) / pairs) if pairs else room


def _is_heavy_tailed(ordered: Tensor) -> bool:
    middle = ordered[len(ordered) // 2]
    sides = (ordered - middle)[ordered > middle], (middle - ordered).flip(0)[ordered.flip(0) < middle]
    return any(_is_heavy_side(distances, abs(float(middle))) for distances in sides)


def _is_heavy_side(distances: Tensor, size: float) -> bool:
    """Whether ordered distances from a median of the given size have a tail that a logarithm shortens."""
    if len(distances) < MIN_VALUES / 2:
        return False
    mean, scale, _ = _l_moments(distances)
    return scale >= MIN_HEAVY_GINI * mean and mean >= MIN_HEAVY_RATIO * size


def _l_moments(ordered: Tensor) -> tuple[float, float, float]:
    """First, second and fourth sample L-moment of ordered values ``[N]``, N > 3."""
    size = len(ordered)
    origin = ordered[size // 2]  # moments far from zero would cancel
    rank = torch.arange(size, dtype=torch.float64)
    weight, moments = ordered - origin, []
    for order in range(4):
        moments.append(float(weight.mean()))
        weight = weight * (rank - order).clamp(min=0) / (size - 1 - order)
    b0, b1, b2, b3 = moments
    return b0 + float(origin), 2 * b1 - b0, 20 * b3 - 30 * b2 + 12 * b1 - b0
