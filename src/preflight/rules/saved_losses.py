"""The losses that a history or a log tells as a whole, and whether they go anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from preflight.core.errors import MissingError
from preflight.rules.base import Threshold
from preflight.rules.beside import unit_of
from preflight.rules.levels import FALL
from preflight.rules.predicates import Array
from preflight.rules.series import HISTORY, LOG, STEPS, Series, losses_of, saved_series
from preflight.telemetry.metric_names import TRAIN, VALIDATION
from preflight.telemetry.recording import Recording

SAVED_EPOCHS = Threshold(
    "SAVED_EPOCHS", 8, "epochs at least of a history or a log", "below that a trend is no more than noise"
)
SPAN = Threshold(
    "SPAN",
    0.02,
    "of its size is all that a level loss of a history or a log spans",
    "means over epochs of runs that learn fall by more; the field case whose owner called it flat spanned 0.3%",
)


def has_no_steps(recording: Recording) -> bool:
    """Whether there is no losses.csv, but a history or a log."""
    known = [name for name in (HISTORY, LOG, STEPS) if name in (recording.tables or {})]
    return bool(known) and STEPS not in known


def whole_losses(recording: Recording) -> list[Series]:
    """Of the history and the log and of either split, the loss that is the whole, no part of several; by epoch.

    Raises :class:`MissingError` where there is none.
    """
    found = []
    for table in (HISTORY, LOG):
        try:
            series = saved_series(recording, table)
        except MissingError:
            continue
        for split in (TRAIN, VALIDATION):
            losses = losses_of(series, split)
            if losses and (losses[0].meaning.key == "" or len(losses) == 1):
                found.append(_by_epoch(losses[0]))
    if not found:
        raise MissingError("there is no history and no log with a loss that is the whole of its split")
    return found


def _by_epoch(item: Series) -> Series:
    """Means over the epochs, where it has several values of one; a log of batches has their noise."""
    epochs = np.floor(item.epochs)
    known = np.unique(epochs)
    if not np.isfinite(epochs).all() or len(known) == len(epochs):
        return item
    means = np.array([item.values[epochs == epoch].mean() for epoch in known])
    rows = np.array([item.rows[epochs == epoch][-1] for epoch in known])
    return replace(item, rows=rows, epochs=known, steps=np.full(len(known), np.nan), values=means)


def epochs_of(series: Sequence[Series]) -> int:
    """Epochs that the longest of them tells of; 0 where nobody says which line is of which epoch."""
    known = [np.floor(item.epochs[np.isfinite(item.epochs)]) for item in series]
    return max((len(np.unique(epochs)) for epochs in known), default=0)


def is_level(values: Array) -> bool:
    """Whether ``values[T]`` stay within a small span of their size, and show no fall that would lead somewhere.

    Rounding may hide some of the span.
    """
    size = float(np.abs(values).max(initial=0.0))
    quarter = max(1, len(values) // 4)
    fall = float(values[:quarter].mean() - values[-quarter:].mean()) if len(values) else 0.0
    span = float(np.ptp(values)) + unit_of(values) if len(values) > 1 else np.inf
    return size > 0 and span <= SPAN.value * size and fall <= FALL.value * size
