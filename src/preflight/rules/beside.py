"""A series of the history beside the log's: epoch for epoch, in one unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from preflight.rules.predicates import Array
from preflight.rules.series import Series
from preflight.telemetry.metric_names import LOSS, VALIDATION, is_of_test

MAX_DECIMALS = 8


@dataclass(frozen=True, eq=False)
class Beside:
    """Values ``[E]`` of a history in the unit of the log, and the log's smallest and largest ones of these epochs.

    ``unit`` is what rounding may have cost, one unit in the last place of each.
    """

    saved: Array
    low: Array
    high: Array
    unit: float

    def __len__(self) -> int:
        return len(self.saved)

    def outside(self, tolerance: Array | float = 0.0) -> int:
        """Epochs whose saved value lies outside of what was printed, by more than rounding and ``tolerance``."""
        margin = self.unit + tolerance
        return int(((self.saved < self.low - margin) | (self.saved > self.high + margin)).sum())


def factors_of(saved: Series) -> tuple[float, ...]:
    """What makes a saved value one of the log, where one of them has percentages."""
    return (1.0,) if saved.meaning.kind == LOSS else (1.0, 100.0, 0.01)


def lay_beside(saved: Series, printed: Series, factor: float = 1.0, shift: int = 0, reach: int = 0) -> Beside:
    """Lay every epoch of the history beside the log's ``shift`` epochs later and ``reach`` around it.

    One may count from 0 and the other from 1; a log that begins later cannot be laid beside: then there is none.
    """
    found = list(_epochs(saved, printed, shift, reach))
    rows, low, high = (np.array(column) for column in zip(*found, strict=True)) if found else (np.zeros(0),) * 3
    values = factor * saved.values[rows.astype(int)]
    return Beside(values, low, high, unit_of(printed.values) + factor * unit_of(saved.values))


def _epochs(saved: Series, printed: Series, shift: int, reach: int) -> Iterator[tuple[int, float, float]]:
    epochs = np.floor(printed.epochs)
    if not np.isfinite(epochs).all() or not np.isfinite(saved.epochs).all():
        return
    offset = float(epochs.min() - np.floor(saved.epochs.min()))
    if offset not in (-1.0, 0.0, 1.0):
        return
    for row, epoch in enumerate(np.floor(saved.epochs) + offset + shift):
        if epoch in epochs:
            near = printed.values[np.abs(epochs - epoch) <= reach]
            yield row, float(near.min()), float(near.max())


def are_one_evaluation(saved: Series, printed: Series) -> bool:
    """Whether both are of a validation as a whole: of the same samples, and not of one batch of them."""
    is_validation = saved.meaning.split == VALIDATION and is_of_test(saved.name) == is_of_test(printed.name)
    return is_validation and not np.isfinite(printed.steps).any()


def unit_of(values: Array) -> float:
    """The last decimal place that ``values[T]`` were rounded to; 0 where they were not."""
    for decimals in range(MAX_DECIMALS + 1):
        if np.allclose(values, np.round(values, decimals), rtol=1e-12, atol=1e-12):
            return float(10.0**-decimals)
    return 0.0
