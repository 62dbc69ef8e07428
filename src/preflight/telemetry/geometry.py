"""How the rows of a head lie to each other: classes whose prototypes point the same way cannot be told apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

GEOMETRY = ("cosine_mean", "cosine_max", "effective_rank", "rank_limit", "rows")
# Rows that are compared with each other, spread evenly over the head: enough to see whether they agree, and an
# eigenvalue problem of a fraction of a millisecond.
MAX_ROWS = 32
# Squared singular values below this share of the largest are what float32 leaves of zero.
ROUNDING = 1e-6


def geometry(cosines: Array, width: int) -> Array:
    """Cosines between N rows of ``width`` values, K times ``[K, N, N]`` -> :data:`GEOMETRY` ``[K, 5]``.

    The mean and the largest cosine are over pairs of different rows. The effective rank is the exponential of the
    entropy of the singular values of the rows at unit length (Roy and Vetterli 2007): 1 where all are parallel, at
    most ``rank_limit`` = min(N, width). NaN where a row is not finite, and of fewer than two rows.
    """
    rows = cosines.shape[1]
    found = np.full((len(cosines), len(GEOMETRY)), np.nan)
    usable = np.isfinite(cosines).all(axis=(1, 2)) & (rows > 1)
    if not usable.any():
        return found
    kept = cosines[usable]
    pairs = kept[:, ~np.eye(rows, dtype=bool)]
    ranks = _effective_rank(np.linalg.eigvalsh(kept))
    limits = np.full((len(kept), 2), (min(rows, width), rows))
    found[usable] = np.column_stack([pairs.mean(axis=1), pairs.max(axis=1), ranks, limits])
    return found


def _effective_rank(squares: Array) -> Array:
    """Squared singular values ``[K, N]`` -> effective rank ``[K]``; NaN where all are zero."""
    top = squares.max(axis=1, keepdims=True)
    singular = np.sqrt(np.where(squares > ROUNDING * top, squares, 0.0))
    total = singular.sum(axis=1, keepdims=True)
    shares = np.divide(singular, total, out=np.zeros_like(singular), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.where(total[:, 0] > 0, np.exp(-(shares * logs).sum(axis=1)), np.nan)
