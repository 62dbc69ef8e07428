"""Losses and metrics that a training saved or printed, by what their names say of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from preflight.core.errors import MissingError
from preflight.rules.base import Threshold
from preflight.rules.predicates import Array
from preflight.telemetry.metric_names import COST, GAIN, LOSS, TRAIN, VALIDATION, Meaning, is_of_test, meaning
from preflight.telemetry.recording import Recording

HISTORY: Final = "history"
LOG: Final = "log"
STEPS: Final = "losses"
SPREAD = Threshold(
    "SPREAD",
    1e-5,
    "of its size is all that a series that stands still changes by",
    "the same weights on the same samples differ by the rounding of float32 and the order of sums, some 1e-6",
)
MOVES = Threshold(
    "MOVES",
    0.05,
    "of its size is what a series that moves changes by at least",
    "no rounding to two digits comes to that",
)
TREND = Threshold(
    "TREND", 0.005, "is the chance of a trend among values in random order (Kendall's tau)", "as for a rung's trend"
)


@dataclass(frozen=True, eq=False)
class Series:
    """Finite values ``[T]`` of a column, the rows they stand in, and what they are. ``steps`` are NaN for values that
    are not of one step or batch.
    """

    name: str
    meaning: Meaning
    rows: Array
    epochs: Array
    steps: Array
    values: Array

    def __len__(self) -> int:
        return len(self.values)

    @property
    def stands_still(self) -> bool:
        """Whether all values are the same, but for rounding."""
        size = float(np.abs(self.values).max(initial=0.0))
        return len(self) > 1 and float(np.ptp(self.values)) <= SPREAD.value * size

    @property
    def moves(self) -> bool:
        """Whether it has changed by more than rounding: it is no copy of one value."""
        size = float(np.abs(self.values).max(initial=0.0))
        return len(self) > 1 and float(np.ptp(self.values)) > MOVES.value * size


def saved_series(recording: Recording, *tables: str) -> list[Series]:
    """All series of the first of these tables that there is; raises :class:`MissingError` where there is none."""
    for table in tables:
        found = list(_series(recording, table))
        if found:
            return found
    wanted = {HISTORY: "history", LOG: "log", STEPS: "losses.csv"}
    raise MissingError(f"there is no {' and no '.join(wanted[table] for table in tables)} with a loss or a metric")


def log_series(recording: Recording) -> list[Series]:
    """Series of the log; none where there is no log."""
    try:
        return saved_series(recording, LOG)
    except MissingError:
        return []


def counterpart(item: Series, beside: Sequence[Series], others: Sequence[Series]) -> Series | None:
    """Of ``others``, the series that is meant by ``item``, which is one of ``beside``.

    By its key, of the same samples where there are several; or as the only loss of its split where ``item`` is the only
    one as well, and one of the two is called just that: of several losses nobody can tell which one the other is.
    """
    kin = _kin(item, others)
    exact = [other for other in kin if other.meaning.key == item.meaning.key]
    if exact:
        return min(exact, key=lambda other: is_of_test(other.name) != is_of_test(item.name))
    if item.meaning.kind != LOSS or len(kin) != 1 or len(_kin(item, beside)) != 1:
        return None
    return kin[0] if "" in (item.meaning.key, kin[0].meaning.key) else None


def _kin(item: Series, series: Sequence[Series]) -> list[Series]:
    """Series of the same split and kind."""
    wanted = (item.meaning.split, item.meaning.kind)
    return [other for other in series if (other.meaning.split, other.meaning.kind) == wanted]


def losses_of(series: Sequence[Series], split: str) -> list[Series]:
    """Losses of a split, the one without a name of its own first: it is the whole."""
    found = [item for item in series if item.meaning.split == split and item.meaning.kind == LOSS]
    return sorted(found, key=lambda item: item.meaning.key != "")


def classes_of(recording: Recording) -> int | None:
    """Number of classes, where someone said it."""
    try:
        return int(recording.fact("classes"))
    except MissingError:
        return None


def is_rising(values: Array, chance: float = TREND.value) -> bool:
    """Whether ``values[T]`` rise by more than ``chance`` would have it (Kendall's tau, exact for few values)."""
    if len(values) < 2 or np.ptp(values) == 0:
        return False
    found = stats.kendalltau(np.arange(len(values)), values, alternative="greater")
    return bool(found.pvalue < chance)


def spoken(value: float) -> str:
    """A value as histories have it: what was rounded to four places is not made longer."""
    return f"{value:.6g}"


def names(series: Sequence[Series]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    listed = [item.name for item in series]
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def _series(recording: Recording, table: str) -> Iterator[Series]:
    try:
        frame = recording.table(table)
    except MissingError:
        return
    epochs, steps = (
        recording.column(table, name) if name in frame else np.full(len(frame), math.nan) for name in ("epoch", "step")
    )
    for name in recording.names(table):
        known = _step_meaning(name, recording) if table == STEPS else meaning(name)
        if known is None:
            continue
        values = recording.column(table, name)
        rows = np.flatnonzero(np.isfinite(values))
        if len(rows):
            yield Series(name, known, rows.astype(np.float64), epochs[rows], steps[rows], values[rows])


def _step_meaning(name: str, recording: Recording) -> Meaning | None:
    """Of the columns of losses.csv, which are losses whatever they are called, but for the task's metric."""
    if name == "val_score":
        return None
    if name == "val_metric":
        return _metric_meaning(recording)
    split = VALIDATION if name.startswith("val_") else TRAIN
    key = name.removeprefix("val_")
    return Meaning(split, LOSS, "" if key == "total" else key)


def _metric_meaning(recording: Recording) -> Meaning | None:
    """The task's metric by its name, and by its goal where the name is not known."""
    try:
        name, goal = str(recording.fact("metric", "name")), recording.fact("metric", "goal")
    except MissingError:
        return None
    known = meaning(f"val_{name}")
    kind = GAIN if goal == "maximize" else COST
    return known if known is not None and known.kind == kind else Meaning(VALIDATION, kind, name)
