"""What the figures of a telemetry directory show: lines, bars and their axes, before anything is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from preflight.core.errors import MissingError
from preflight.report.curves import LINEAR, LOG_RATIO_NORM, MAX_COMPONENTS, Array, scale, thin
from preflight.report.epochs import DELTA, aggregates, component_deltas
from preflight.rules.components import component_norms
from preflight.telemetry.recording import Recording

STATS = "_stats"
BACKBONE = "backbone"
BINS = 40
MAX_BROKEN = 100
ROWS = "rows, one a collection step"


@dataclass(frozen=True, eq=False)
class Trace:
    """Finite values ``y[T]`` at ``x[T]``, and where values were not finite."""

    label: str
    x: Array
    y: Array
    broken: Array
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class Bars:
    """Counts ``[B]`` between edges ``[B + 1]``, and the median of what was counted."""

    edges: Array
    counts: Array
    median: float


@dataclass(frozen=True, eq=False)
class Panel:
    """One pair of axes."""

    title: str
    x_label: str
    scale: str
    traces: tuple[Trace, ...] = ()
    bars: Bars | None = None


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure: the name of its file and its panels."""

    name: str
    panels: tuple[Panel, ...] = field(default=())


def plots(recording: Recording) -> list[Plot]:
    """Every figure that the recording has columns for."""
    found: list[Plot] = []
    for make in (_norm, _components, _ratio, _histogram, _deltas, _heads, _rates, _epochs):
        try:
            found += make(recording)
        except MissingError:
            continue
    return [plot for plot in found if any(panel.traces or panel.bars for panel in plot.panels)]


def head_and_backbone(recording: Recording) -> tuple[str, str]:
    """The component that ``<head>_stats.csv`` names, or else the last; and ``backbone``, or else the first.

    Raises :class:`MissingError` where there are not two.
    """
    names = _component_names(recording)
    if len(names) < 2:
        raise MissingError("gradient_norms.csv has fewer than two components")
    heads = [name for name in _head_names(recording) if name in names]
    head = heads[0] if heads else names[-1]
    others = [name for name in names if name != head]
    return head, BACKBONE if BACKBONE in others else others[0]


def _norm(recording: Recording) -> Iterator[Plot]:
    trace = _trace("overall", recording.column("gradient_norms", "overall"))
    yield Plot("gradient_norm", (_panel("Gradient norm, whole model", [trace], is_norm=True),))


def _components(recording: Recording) -> Iterator[Plot]:
    traces = [_trace(name, recording.column("gradient_norms", name)) for name in _component_names(recording)]
    yield Plot("component_norms", (_panel(_of_largest("Gradient norm by component", traces), traces, is_norm=True),))


def _ratio(recording: Recording) -> Iterator[Plot]:
    head, backbone = head_and_backbone(recording)
    above, below = recording.column("gradient_norms", head), recording.column("gradient_norms", backbone)
    ratio = np.divide(above, below, out=np.full(len(above), np.nan), where=np.isfinite(below) & (below > 0))
    traces = [_trace(f"{head} / {backbone}", ratio)]
    finite = ratio[np.isfinite(ratio)]
    if len(finite):
        middle = float(np.median(finite))
        level = np.full(2, middle)
        ends = np.array([0.0, max(1.0, len(ratio) - 1.0)])
        traces.append(Trace(f"median {middle:.3g}", ends, level, np.empty(0), dashed=True))
    yield Plot("norm_ratio", (_panel(f"Gradient norm of {head} over that of {backbone}", traces, is_norm=True),))


def _histogram(recording: Recording) -> Iterator[Plot]:
    """Bins of equal width on the axis that is drawn."""
    norms = recording.column("gradient_norms", "overall")
    norms = norms[np.isfinite(norms)]
    if not len(norms):
        return
    kind = scale(norms[norms > 0], LOG_RATIO_NORM)
    shown = norms if kind == LINEAR else np.log10(norms[norms > 0])
    counts, edges = np.histogram(shown, bins=min(BINS, max(5, len(shown) // 4)))
    bars = Bars(edges if kind == LINEAR else 10**edges, counts.astype(np.float64), float(np.median(norms)))
    yield Plot("norm_histogram", (Panel("Steps by gradient norm", "gradient norm", kind, bars=bars),))


def _deltas(recording: Recording) -> Iterator[Plot]:
    names = component_deltas(recording)
    traces = [_trace(name.removesuffix(DELTA), recording.column("weight_deltas", name)) for name in names]
    title = _of_largest("Weight change since the row before, by component", traces)
    yield Plot("weight_deltas", (_panel(title, traces, is_norm=True),))


def _heads(recording: Recording) -> Iterator[Plot]:
    """Mean, deviation and row norms of a head's weights: a prototype for each class."""
    for head in _head_names(recording):
        table = f"{head}{STATS}"
        known = [name for name in recording.names(table) if name.startswith("weight_")]
        norms = [name for name in known if name.startswith("weight_norm")]
        groups = [*([name] for name in known if name not in norms), *([norms] if norms else [])]
        panels = [
            _panel(
                f"Row norms of {head}, a row a class" if names is norms else f"Weights of {head}",
                [_trace(_plain(name), recording.column(table, name)) for name in names],
            )
            for names in groups
        ]
        yield Plot(table, tuple(panels))


def _rates(recording: Recording) -> Iterator[Plot]:
    names = recording.names("learning_rates")
    traces = [_trace(name.removeprefix("lr_"), recording.column("learning_rates", name)) for name in names]
    yield Plot("learning_rates", (_panel("Learning rate by parameter group", traces),))


def _epochs(recording: Recording) -> Iterator[Plot]:
    table = aggregates(recording)
    if table.empty:
        return
    epochs = table.index.to_numpy(dtype=np.float64)
    parts = (
        ("Gradient norm by epoch", [name for name in table if str(name).startswith("norm_")]),
        ("Sum of weight changes by epoch", [name for name in table if str(name).endswith(f"{DELTA}_sum")]),
    )
    panels = [
        _panel(title, [_trace(_plain(str(name)), table[name].to_numpy(), epochs) for name in names], x_label="epoch")
        for title, names in parts
        if names
    ]
    yield Plot("epochs", tuple(panels))


def _panel(title: str, traces: Sequence[Trace], *, is_norm: bool = False, x_label: str = ROWS) -> Panel:
    """The largest traces, on the axis that shows them; norms are shown by their ratios."""
    kept = _largest(traces)
    values = np.concatenate([trace.y for trace in kept]) if kept else np.empty(0)
    kind = scale(values[values > 0], LOG_RATIO_NORM) if is_norm else scale(values)
    return Panel(title, x_label, kind, tuple(kept))


def _largest(traces: Sequence[Trace]) -> list[Trace]:
    order = sorted(traces, key=lambda trace: -float(np.max(trace.y, initial=0.0)))[:MAX_COMPONENTS]
    return [trace for trace in traces if trace in order]


def _of_largest(title: str, traces: Sequence[Trace]) -> str:
    return title if len(traces) <= MAX_COMPONENTS else f"{title}: the {MAX_COMPONENTS} largest of {len(traces)}"


def _trace(label: str, values: Array, x: Array | None = None) -> Trace:
    rows = np.arange(len(values), dtype=np.float64) if x is None else x
    broken = rows[np.isinf(values)]
    return Trace(label, *thin(rows, values), broken[:MAX_BROKEN])


def _component_names(recording: Recording) -> list[str]:
    return list(component_norms(recording))


def _head_names(recording: Recording) -> list[str]:
    known = recording.tables
    names = list(known) if known is not None else [path.stem for path in recording.folder.glob(f"*{STATS}.csv")]
    return sorted(name.removesuffix(STATS) for name in names if name.endswith(STATS))


def _plain(name: str) -> str:
    """``weight_norm_mean`` -> ``norm mean``, ``arcface_delta_sum`` -> ``arcface``."""
    return name.removesuffix(f"{DELTA}_sum").removeprefix("weight_").replace("_", " ")
