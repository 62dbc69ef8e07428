"""A trial's recorded rows -> the CSV files of schema.py."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from preflight.telemetry.chunk import Array, Chunk, Layout, combine
from preflight.telemetry.schema import GRADIENT_NORMS, HEAD_STATS, LEARNING_RATES, LOSSES, PARAMETERS, WEIGHT_DELTAS
from preflight.telemetry.store import write_text

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Frame:
    """What the rows need to know of their trial. ``evaluations`` maps a step to its ``val_`` columns."""

    steps_per_epoch: int
    deltas_every_steps: int
    head: str | None
    evaluations: Mapping[int, Mapping[str, float]]


def write_telemetry(folder: Path, history: Chunk, layout: Layout, run: Frame) -> dict[str, int]:
    """Write a trial's CSV files from its recorded ``history``; returns the number of rows by file."""
    tables = _tables(history, layout, run)
    for name, rows in tables.items():
        _write_rows(folder / name, rows)
    return {name: len(rows) - 1 for name, rows in tables.items()}


def _tables(history: Chunk, layout: Layout, run: Frame) -> dict[str, list[Sequence[object]]]:
    """Rows of every file, its header first."""
    epochs = (history.first_step + np.arange(len(history))) // run.steps_per_epoch
    sampled = (history.first_step + np.arange(1, len(history) + 1)) % run.deltas_every_steps == 0
    norms = {"overall": combine(history.norms), **layout.by_component(history.norms)}
    deltas = layout.by_component(history.deltas[sampled])
    lrs = {f"lr_group{index}": history.lrs[:, index] for index in range(history.lrs.shape[1])}
    found = {
        GRADIENT_NORMS.file: _rows(epochs, norms),
        WEIGHT_DELTAS.file: _rows(epochs[sampled], {f"{name}_delta": item for name, item in deltas.items()}),
        LEARNING_RATES.file: _rows(epochs, lrs),
    }
    if run.head is not None:
        names = ("weight_mean", "weight_std", "weight_norm_mean", "weight_norm_std")
        heads = {name: history.heads[sampled, index] for index, name in enumerate(names)}
        found[HEAD_STATS.file.replace("<head>", run.head)] = _rows(epochs[sampled], heads)
    found[LOSSES.file] = _rows(epochs, _losses(history, layout, run.evaluations))
    found[PARAMETERS.file] = _parameters(history, layout)
    return found


def _losses(
    history: Chunk, layout: Layout, evaluations: Mapping[int, Mapping[str, float]]
) -> dict[str, Array | Integers]:
    steps = history.first_step + np.arange(len(history))
    names = ("total", *layout.losses)
    columns: dict[str, Array | Integers] = {"step": steps}
    columns |= {name: history.losses[:, index] for index, name in enumerate(names)}
    validation = [*(f"val_{name}" for name in layout.losses), "val_score", "val_metric"]
    for name in validation:
        values = [evaluations.get(int(step), {}).get(name, np.nan) for step in steps]
        columns[name] = np.array(values, dtype=np.float64)
    return columns


def _parameters(history: Chunk, layout: Layout) -> list[Sequence[object]]:
    finite = np.where(np.isfinite(history.norms), history.norms, -np.inf)
    missing = np.flatnonzero(np.isnan(history.norms).all(axis=0))
    rows: list[Sequence[object]] = [tuple(column.name for column in PARAMETERS.columns)]
    for index, name in enumerate(layout.parameters):
        bad = np.flatnonzero(~np.isfinite(history.norms[:, index]))
        peak = int(np.argmax(finite[:, index])) if len(finite) else 0
        top = finite[peak, index] if len(finite) else -np.inf
        norm = _number(top if np.isfinite(top) else np.nan)
        first = -1 if index in missing or not len(bad) else history.first_step + int(bad[0])
        step = history.first_step + peak
        rows.append((name, layout.components[index], layout.sizes[index], norm, step, first))
    return rows


def _rows(epochs: Integers, columns: Mapping[str, Array | Integers]) -> list[Sequence[object]]:
    cells = [[_number(value) for value in column.tolist()] for column in columns.values()]
    return [("epoch", *columns), *zip(epochs.tolist(), *cells, strict=True)]


def _write_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def _number(value: float) -> str:
    """Nine digits carry a float32; an empty cell is how CSV readers take a missing value, infinity stays visible.

    A whole float keeps its point, or a column of them would be read as integers.
    """
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return ""
    text = f"{value:.9g}"
    return f"{text}.0" if text.lstrip("-").isdigit() else text
