"""A series of the history beside the log's: epoch for epoch, in one unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from preflight.rules.base import Threshold
from preflight.rules.predicates import Array
from preflight.rules.series import MOVES, Series, counterpart, is_rising, spoken
from preflight.telemetry.metric_names import GAIN, LOSS, VALIDATION, is_of_test

MAX_DECIMALS = 8
SHARED = Threshold("SHARED", 3, "epochs that both know of at least", "fewer show no pattern")


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


def pairs_of(history: Sequence[Series], log: Sequence[Series]) -> list[tuple[Series, Series]]:
    """Series of the history, each with what the log shows of the same."""
    return [(item, found) for item in history if (found := counterpart(item, history, log)) is not None]


def course(printed: Series) -> str:
    """``val_loss goes from 2.6066 to 0.4666``."""
    return f"{printed.name} goes from {spoken(printed.values[0])} to {spoken(printed.values[-1])}"


def is_denied(saved: Series, printed: Series) -> bool:
    """Whether a series that was saved as one value moved in the log: in most epochs nothing there comes near it.

    Of the values of batches, which differ whatever the weights do, a trend is asked for as well.
    """
    if not saved.stands_still or is_of_test(saved.name) != is_of_test(printed.name):
        return False
    if not np.isfinite(printed.epochs).any() and len(printed) == len(saved):
        printed = replace(printed, epochs=saved.epochs)
    found = lay_beside(saved, printed, _percent(printed) / _percent(saved))
    middle = (found.low + found.high) / 2
    if len(found) < SHARED.value or np.ptp(middle) <= MOVES.value * np.abs(middle).max():
        return False
    is_outside = 2 * found.outside() > len(found)
    return is_outside and (are_one_evaluation(saved, printed) or is_rising(middle) or is_rising(-middle))


def _percent(item: Series) -> float:
    return 100.0 if item.meaning.kind == GAIN and item.values.max() > 1 else 1.0


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
