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
from preflight.telemetry.geometry import GEOMETRY
from preflight.telemetry.schema import (
    GRADIENT_NORMS,
    HEAD_GEOMETRY,
    HEAD_STATS,
    LEARNING_RATES,
    LOSSES,
    PARAMETERS,
    WEIGHT_DELTAS,
)
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
        for table, columns, values in ((HEAD_STATS, names, history.heads), (HEAD_GEOMETRY, GEOMETRY, history.geometry)):
            heads = {name: values[sampled, index] for index, name in enumerate(columns)}
            found[table.file.replace("<head>", run.head)] = _rows(epochs[sampled], heads)
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
    """A row per parameter, over all steps."""
    rows: list[Sequence[object]] = [tuple(column.name for column in PARAMETERS.columns)]
    begun = layout.first_weight_norms or (math.nan,) * len(layout.parameters)
    for index, name in enumerate(layout.parameters):
        gradient = _of_gradient(history.norms[:, index], history.first_step)
        update = _of_update(history.deltas[:, index], history.weights[:, index], begun[index])
        rows.append((name, layout.components[index], layout.sizes[index], *gradient, *update))
    return rows


def _of_gradient(norms: Array, first_step: int) -> tuple[object, ...]:
    """Of gradient norms ``[T]``: largest, its step, first step that is not finite, median, last step that moves."""
    if np.isnan(norms).all():  # it never had one
        return "", first_step, -1, "", -1
    finite = np.isfinite(norms)
    peak = int(np.argmax(np.where(finite, norms, -np.inf)))
    broken, moving = np.flatnonzero(~finite), np.flatnonzero(norms != 0)
    return (
        _number(norms[peak] if finite.any() else math.nan),
        first_step + peak,
        first_step + int(broken[0]) if len(broken) else -1,
        _number(float(np.median(norms[finite])) if finite.any() else math.nan),
        first_step + int(moving[-1]) if len(moving) else -1,
    )


def _of_update(deltas: Array, weights: Array, begun: float) -> tuple[str, ...]:
    """Of changes and weight norms after them ``[T]``, NaN between rows: norms at both ends, sum, median ratio.

    The larger norm of both ends of a change, since a weight may begin at zero.
    """
    sampled = ~np.isnan(deltas)
    changes, after = deltas[sampled], weights[sampled]
    if not len(changes):
        return _number(begun), "", "", ""
    size = np.fmax(after, np.append(begun, after[:-1]))
    known = np.isfinite(changes) & np.isfinite(size)
    ratios = changes[known] / np.where(size[known] > 0, size[known], 1.0)
    ratio = float(np.median(ratios)) if len(ratios) else math.nan
    return _number(begun), _number(after[-1]), _number(float(changes.sum())), _number(ratio)


def _rows(epochs: Integers, columns: Mapping[str, Array | Integers]) -> list[Sequence[object]]:
    cells = [_cells(column, name.startswith("val_")) for name, column in columns.items()]
    return [("epoch", *columns), *zip(epochs.tolist(), *cells, strict=True)]


def _cells(column: Array | Integers, is_sparse: bool) -> list[str]:
    """Cells ``[T]``; where every row is measured a NaN is said, but for a column that never was."""
    cells = [_number(value) for value in column.tolist()]
    return cells if is_sparse or not any(cells) else [cell or "nan" for cell in cells]


def _write_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def _number(value: float) -> str:
    """Nine digits carry a float32; an empty cell is how CSV readers take what was not measured.

    A whole float keeps its point, or a column of them would be read as integers.
    """
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return ""
    text = f"{value:.9g}"
    return f"{text}.0" if text.lstrip("-").isdigit() else text
