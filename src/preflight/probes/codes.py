"""Numbers that stand for something else among amounts, as -9999 does for a missing value."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Fewer equal ones may be chance, or rounding; a value that most have is what is usual.
MIN_COUNT, MIN_SHARE, MAX_SHARE = 5, 0.001, 0.5
# Of few different values, or of what is mostly one value, a rare one far off is as likely an event as a code.
MIN_DISTINCT, MAX_COMMON = 10, 0.5
# Deviations of the others that it lies beyond their nearest one: a sensor's limit, where it saturates, is next to them.
FAR = 20.0


@dataclass(frozen=True)
class Code:
    """A value, the share of the values that equal it exactly, and the range of all others."""

    value: float
    share: float
    low: float
    high: float


def code_of(values: Tensor) -> Code | None:
    """The code among ``values[N]``, not all of which need be finite; None where there is none.

    It is repeated, and farther from all others than these are from each other, and than FAR of their deviations. Zero
    is none: it is an amount of nothing.
    """
    finite = values[values.isfinite()].double()
    ends = (finite.min(), finite.max()) if len(finite) else ()
    found = [code for end in ends if (code := _code(finite, float(end))) is not None]
    return found[0] if len(found) == 1 else None


def _code(finite: Tensor, value: float) -> Code | None:
    others = finite[finite != value]
    count = len(finite) - len(others)
    share = count / len(finite)
    if value == 0 or count < MIN_COUNT or not MIN_SHARE <= share <= MAX_SHARE:
        return None
    low, high = float(others.min()), float(others.max())
    gap = max(low - value, value - high)
    if gap <= max(high - low, FAR * float(others.std(correction=0))) or not _varies(others):
        return None
    return Code(value, share, low, high)


def _varies(values: Tensor) -> bool:
    """Whether they are many different ones, none of which is most of them."""
    _, counts = torch.unique(values, return_counts=True)
    return len(counts) >= MIN_DISTINCT and int(counts.max()) <= MAX_COMMON * len(values)
