"""What programs on points share: splits of a file of them, in some order, and SGD with momentum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from benchmarks.program import OPTIMIZERS, Training
from benchmarks.programs.digits_mlp import Data, Split

Change = Callable[[Tensor], Tensor]


def cut(points: Tensor, values: Tensor, size: int) -> Data:
    """The first ``size`` are trained, the others validated."""
    return (points[:size], values[:size]), (points[size:], values[size:])


def ordered(part: Split, order: Tensor) -> Split:
    """Points and values in another order."""
    points, values = part
    return points[order], values[order]


def momentum(training: Training, lr: float, **changes: Any) -> Training:
    """With SGD and momentum in place of its optimizer."""
    return training.but(lr=lr, optimizer=OPTIMIZERS["sgd"], **changes)
