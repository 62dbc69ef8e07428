"""Questions about a trajectory, asked by the rules afterwards and by a running trial alike.

No answer depends on the scale of a loss or of a gradient: what is compared are ratios and ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Gradient norm relative to the run's own first one, which no learning rate has touched yet.
EXPLODED_RATIO = 1000.0
UNSTEADY_RATIO = 30.0
# Late loss relative to the first one: beyond this the run has lost what initialisation had.
RUNAWAY_RATIO = 3.0
# Of a difference in rank: one false answer in two hundred, since a table asks for a dozen of them.
CERTAINTY = 0.995
# Fewer values on each side have no order to speak of: of 3 and 3 in any order, one in twenty is sorted.
MIN_SIDE = 4


def first_nonfinite(values: Array) -> int | None:
    """First row of ``values[T]`` or ``values[T, C]`` with a NaN or an infinity."""
    bad = ~np.isfinite(values)
    rows = np.flatnonzero(bad if bad.ndim == 1 else bad.any(axis=1))
    return int(rows[0]) if len(rows) else None


def has_run_away(losses: Array) -> bool:
    """Whether three in four of the last quarter of ``losses[T]`` lie far above the first loss, or one is not finite.

    Three in four, so that neither a spike at the end nor one lucky batch decides. Far is twice the first loss above
    it, or, where a loss may be negative and its zero means nothing, twice what the run had gained at its best: a run
    that dips below its start by noise alone has to rise by more than that noise. Fewer than four steps have no end
    that could be told from their beginning.
    """
    if len(losses) < 4:
        return False
    if not np.isfinite(losses).all():
        return True
    first = losses[0]
    late = np.quantile(losses[-max(2, len(losses) // 4) :], 0.25, method="lower")
    reach = max(abs(first), first - losses.min())
    return bool(late - first > (RUNAWAY_RATIO - 1) * reach)


def growth_of_gradient(norms: Array) -> float:
    """Largest of ``norms[T]`` over the first that is not zero; infinite when one is not finite or there is none.

    A gradient of zero moves nothing, so that the next one is still that of the initialisation. One that is zero
    throughout has not grown.
    """
    if not len(norms) or not np.isfinite(norms).all():
        return float("inf")
    moving = norms[norms > 0]
    return float(moving.max()) / float(moving[0]) if len(moving) else 1.0


def are_decreasing(runs: Sequence[Array]) -> bool:
    """Whether most ``runs`` fall, and all together by more than chance would have it: noise that hides the fall of
    one run does not hide that of five.

    By ranks within each run (Mann and Whitney, 1947; summed over the runs as by van Elteren, 1960; normal
    approximation with ties): a fall by decades, a fall within a few steps and a fall below zero count alike, and a
    spike counts as one value. Noise smaller than the steps between values changes nothing. Runs that are not finite
    or shorter than eight steps show no trend.
    """
    usable = [losses for losses in runs if len(losses) >= 2 * MIN_SIDE and np.isfinite(losses).all()]
    found = [_order(losses) for losses in usable]
    if 2 * sum(excess > 0 for excess, _ in found) <= len(runs):
        return False
    total = sum(excess for excess, _ in found)
    deviation = float(np.sqrt(sum(deviation**2 for _, deviation in found)))
    # Half a pair for continuity.
    return total - 0.5 > NormalDist().inv_cdf(CERTAINTY) * deviation


def _order(losses: Array) -> tuple[float, float]:
    """Pairs (early value, late value) that fall, beyond half of them, and the deviation of that without a trend."""
    size = max(MIN_SIDE, len(losses) // 4)
    early, late = losses[:size, None], losses[None, -size:]
    above = float((early > late).sum() + 0.5 * (early == late).sum())
    return above - size * size / 2, _deviation(early, late)


def _deviation(early: Array, late: Array) -> float:
    """Standard deviation of the number of pairs in order, where there is no trend; equal values lower it."""
    together = np.concatenate([early.ravel(), late.ravel()])
    total, size = len(together), early.size
    ties = np.unique(together, return_counts=True)[1].astype(np.float64)
    spread = (total + 1) - float((ties**3 - ties).sum()) / (total * (total - 1))
    return float(np.sqrt(size * size * spread / 12))
