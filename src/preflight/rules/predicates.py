"""Questions about a trajectory, asked by the rules afterwards and by a running trial alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

Array = npt.NDArray[np.float64]

# Gradient norm relative to the run's own first one, which no learning rate has touched yet.
EXPLODED_RATIO = 1000.0
UNSTEADY_RATIO = 30.0
# Median loss relative to the first one: beyond this the run has lost what initialisation had.
RUNAWAY_RATIO = 3.0
# Of a difference of two means: one false answer in forty.
CERTAINTY = 0.975


def first_nonfinite(values: Array) -> int | None:
    """First row of ``values[T]`` or ``values[T, C]`` with a NaN or an infinity."""
    bad = ~np.isfinite(values)
    rows = np.flatnonzero(bad if bad.ndim == 1 else bad.any(axis=1))
    return int(rows[0]) if len(rows) else None


def has_run_away(losses: Array) -> bool:
    """Whether the last quarter of ``losses[T]`` lies far above the first loss, on both sides of its median."""
    if len(losses) < 4:
        return False
    return bool(np.median(losses[-max(2, len(losses) // 4) :]) > RUNAWAY_RATIO * abs(losses[0]))


def growth_of_gradient(norms: Array) -> float:
    """Largest of ``norms[T]`` over the first one; infinite when one is not finite."""
    if not len(norms) or not np.isfinite(norms).all():
        return float("inf")
    return float(norms.max() / max(norms[0], 1e-12))


def is_decreasing(losses: Array) -> bool:
    """Whether the last quarter of ``losses[T]`` lies below the first quarter by more than its noise.

    On a linear scale or, since a fall by decades has its noise in proportion, on a logarithmic one.
    """
    if len(losses) < 8 or not np.isfinite(losses).all():
        return False
    return _falls(losses) or (bool((losses > 0).all()) and _falls(np.log(losses)))


def _falls(values: Array) -> bool:
    quarter = len(values) // 4
    early, late = values[:quarter], values[-quarter:]
    error = np.sqrt(early.var(ddof=1) / quarter + late.var(ddof=1) / quarter)
    # Few values: Student's t with the degrees of freedom of both quarters.
    return bool(early.mean() - late.mean() > stdtrit(2 * quarter - 2, CERTAINTY) * error)
