"""Trajectories of recorded runs, thinned to what a figure can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from preflight.advise.choose import CONSTANT_PREDICTOR
from preflight.core.errors import InputError
from preflight.report.comparison import Side
from preflight.telemetry.recording import Recording

Array = npt.NDArray[np.float64]

MAX_POINTS = 200
MAX_LINES = 5
MAX_COMPONENTS = 6
MEDIAN_POINTS = 100
# Beyond these ratios of largest to smallest value a linear axis shows only the largest.
LOG_RATIO, LOG_RATIO_NORM = 20.0, 3.0
SYMLOG_RATIO = 100.0

LINEAR, LOG, SYMLOG = "linear", "log", "symlog"


@dataclass(frozen=True, eq=False)
class Line:
    """Values ``y[T]`` at ``x[T]`` steps; lines that are drawn hold finite values only."""

    x: Array
    y: Array
    diverged: bool = False

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Curve:
    """Runs of the same settings: at most :data:`MAX_LINES` of them, and the median of all ``runs``."""

    role: str
    label: str
    lines: tuple[Line, ...]
    median: Line
    runs: int


def score_curve(side: Side, batch_size: int) -> Curve | None:
    """Validation score where it was evaluated, over steps at ``batch_size``; None where nothing is recorded."""
    return _curve(side, batch_size, "losses", "val_score")


def loss_curve(side: Side, batch_size: int) -> Curve | None:
    """Weighted training loss over steps at ``batch_size``; None where nothing is recorded."""
    return _curve(side, batch_size, "losses", "total")


def norm_curve(side: Side, batch_size: int) -> Curve | None:
    """Overall gradient norm over steps at ``batch_size``; None where nothing is recorded."""
    return _curve(side, batch_size, "gradient_norms", "overall")


def component_curves(side: Side, batch_size: int) -> list[Curve]:
    """Gradient norm of each component, the :data:`MAX_COMPONENTS` largest, in the order of the model."""
    names = component_names(side)
    curves = [_curve(side, batch_size, "gradient_norms", name) for name in names]
    found = [curve for curve in curves if curve is not None and len(curve.median)]
    largest = sorted(found, key=lambda curve: -float(curve.median.y.max()))[:MAX_COMPONENTS]
    return [curve for curve in found if curve in largest]


def component_names(side: Side) -> list[str]:
    """Components that a gradient norm was recorded for."""
    for recording in side.recordings:
        table = _table(recording, "gradient_norms")
        if table is not None:
            return [str(name) for name in table.columns if name not in ("epoch", "overall")]
    return []


def norm_scale(curves: Sequence[Curve]) -> str:
    """Axis of gradient norms: a norm of zero, as a dead network has it, leaves a logarithmic axis logarithmic."""
    values = values_of(curves)
    return scale(values[values > 0], LOG_RATIO_NORM)


def score_scale(scores: Array) -> str:
    """Axis of scores, on which the best constant predictor is drawn as well."""
    return scale(np.append(scores[np.isfinite(scores)], CONSTANT_PREDICTOR))


def scale_of(curves: Sequence[Curve]) -> str:
    """Axis on which the small values of all curves can be seen as well as the large ones."""
    return scale(values_of(curves))


def scale(values: Array, log_ratio: float = LOG_RATIO) -> str:
    """``log`` for positive values that span a large ratio, ``symlog`` where some are not positive."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return LINEAR
    if finite.min() > 0:
        return LOG if finite.max() / finite.min() > log_ratio else LINEAR
    sizes = np.abs(finite)
    return SYMLOG if sizes.max() > SYMLOG_RATIO * max(float(np.median(sizes)), 1e-12) else LINEAR


def thin(x: Array, y: Array, points: int = MAX_POINTS) -> tuple[Array, Array]:
    """At most ``points`` of ``y[T]``: the smallest and the largest finite value of each of ``points / 2`` buckets."""
    keep = np.flatnonzero(np.isfinite(y))
    if len(keep) > points:
        buckets = np.array_split(keep, points // 2)
        keep = np.unique([bucket[pick] for bucket in buckets for pick in (y[bucket].argmin(), y[bucket].argmax())])
    return x[keep], y[keep]


def median(runs: Sequence[Line], points: int = MEDIAN_POINTS) -> Line:
    """Median over runs and then over neighbouring steps, so that the noise of single batches does not hide it.

    A run that diverged counts as infinite after its end, one that was stopped does not count: where most runs
    diverged the line ends. Runs of one side share their plan, so row t of one is row t of every other.
    """
    longest = max(runs, key=len)
    rows = np.array([_padded(run, len(longest)) for run in runs])
    middle = np.nanmedian(rows, axis=0)
    parts = np.array_split(np.arange(len(middle)), max(1, min(points, len(middle))))
    buckets = [part for part in parts if len(part)]
    x = np.array([longest.x[part].mean() for part in buckets])
    y = np.array([np.median(middle[part]) for part in buckets])
    return Line(x[np.isfinite(y)], y[np.isfinite(y)])


def values_of(curves: Sequence[Curve]) -> Array:
    """Everything that is drawn of the curves."""
    parts = [line.y for curve in curves for line in (*curve.lines, curve.median)]
    return np.concatenate(parts) if parts else np.empty(0)


def _padded(run: Line, length: int) -> Array:
    rest = np.full(length - len(run), np.inf if run.diverged else np.nan)
    return np.concatenate([np.where(np.isfinite(run.y), run.y, np.inf), rest])


def _curve(side: Side, batch_size: int, table: str, column: str) -> Curve | None:
    found = (_run(recording, batch_size, table, column) for recording in side.recordings)
    # A run that diverged before its first evaluation has no line, and still counts in the median.
    runs = [run for run in found if run is not None and (len(run) or run.diverged)]
    if not any(len(run) for run in runs):
        return None
    lines = tuple(Line(*thin(run.x, run.y), run.diverged) for run in runs if len(run))[:MAX_LINES]
    label = side.label if column in ("val_score", "total", "overall") else column
    return Curve(side.role, label, lines, median(runs), len(runs))


def _run(recording: Recording, batch_size: int, table: str, column: str) -> Line | None:
    """A whole trajectory, non-finite values and all; None where it is not recorded."""
    frame = _table(recording, table)
    if frame is None or column not in frame:
        return None
    y = frame[column].to_numpy(dtype=float)
    steps = frame["step"] if "step" in frame else pd.RangeIndex(len(frame))
    x = np.asarray(steps, dtype=float) * recording.params.batch_size / batch_size
    evaluated = ~np.isnan(y) if column == "val_score" else np.full(len(y), True)
    return Line(x[evaluated], y[evaluated], recording.status == "diverged")


def _table(recording: Recording, name: str) -> pd.DataFrame | None:
    try:
        return recording.losses if name == "losses" else recording.gradient_norms
    except InputError:
        return None
