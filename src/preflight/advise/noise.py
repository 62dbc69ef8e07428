"""The gradient noise scale: what a batch size costs, by the spread of gradients over batches.

McCandlish et al. 2018, "An Empirical Model of Large-Batch Training" (arXiv 1812.06162): the simple noise scale is
``B = tr(Sigma) / |G|^2``, in samples, of the covariance ``Sigma`` of one sample's gradient and the gradient ``G`` of
all data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from preflight.advise.evidence import CONFIDENCE

Gram = npt.NDArray[np.float64]

# Fewer batches leave their spread, and so the interval, all but unknown: with 8 the t quantile is 2.4.
MIN_BATCHES = 8
NO_GRADIENT = "the gradient is zero"
NOT_FINITE = "a gradient is not finite"


@dataclass(frozen=True)
class NoiseScale:
    """Noise scale in samples, between ``low`` and ``high`` at the confidence of :mod:`preflight.advise.evidence`.

    ``high`` is infinite where the gradient of all data is not told from zero: the noise scale is ``low`` or more, and
    ``samples`` may be infinite as well.
    """

    samples: float
    low: float
    high: float

    @property
    def is_bounded(self) -> bool:
        """Whether there is an upper bound, and not only "at least"."""
        return math.isfinite(self.high)

    @property
    def is_known(self) -> bool:
        """Whether anything is known of it: a lower bound at least."""
        return math.isfinite(self.low)


def noise_scale(gram: Gram, batch_size: int) -> NoiseScale:
    """Noise scale of the dot products ``gram[k, k]`` of the gradients of ``k`` disjoint batches of ``batch_size``.

    Unbiased are ``tr(Sigma)``, by the spread of the gradients around their mean, and ``|G|^2``, the mean product of
    two different ones. The interval is a jackknife over the batches, with Student's t, of the ratio ``|G|^2 /
    tr(Sigma)``: that of its inverse has no variance where ``|G|^2`` may be zero. Raises :class:`ValueError` with the
    reason where there is nothing to tell.
    """
    if not np.isfinite(gram).all():
        raise ValueError(NOT_FINITE)
    if not np.diag(gram).any():
        raise ValueError(NO_GRADIENT)
    ratio, margin = _ratio_and_margin(gram, batch_size)
    return NoiseScale(_inverse(ratio), _inverse(ratio + margin), _inverse(ratio - margin))


def over_seeds(found: Sequence[NoiseScale]) -> NoiseScale:
    """One for all seeds, or moments: the harmonic mean, and an interval that covers those of all of them."""
    mean = math.fsum(1 / item.samples if item.samples else math.inf for item in found) / len(found)
    return NoiseScale(_inverse(mean), min(item.low for item in found), max(item.high for item in found))


def _ratio_and_margin(gram: Gram, batch_size: int) -> tuple[float, float]:
    """``|G|^2 / tr(Sigma)``, and half the width of its interval; infinite and zero where all gradients are one."""
    count = len(gram)
    ratio = _ratio(float(np.trace(gram)), float(gram.sum()), count, batch_size)
    if not math.isfinite(ratio):
        return ratio, 0.0
    sizes, sums = np.diag(gram), gram.sum(axis=1)
    without = [
        _ratio(float(np.trace(gram) - sizes[i]), float(gram.sum() - 2 * sums[i] + sizes[i]), count - 1, batch_size)
        for i in range(count)
    ]
    left = np.array(without)
    variance = (count - 1) / count * float(((left - left.mean()) ** 2).sum())
    quantile = float(stdtrit(count - 1, 1 - (1 - CONFIDENCE) / 2))
    return ratio, quantile * math.sqrt(variance)


def _ratio(squares: float, total: float, count: int, batch_size: int) -> float:
    """``|G|^2 / tr(Sigma)`` of ``count`` gradients, whose squared norms and dot products add up to these."""
    spread = (squares - total / count) / (count - 1)  # of one batch's gradient around the mean
    if spread <= 1e-12 * squares / count:  # what rounding leaves
        return math.inf
    shared = (total - squares) / (count * (count - 1))
    return shared / (spread * batch_size)


def _inverse(ratio: float) -> float:
    """Noise scale of a ratio; infinite of one that is zero or less."""
    return 1 / ratio if ratio > 0 else math.inf
