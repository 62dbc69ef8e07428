"""The report's figures. What they show is computed in curves.py and rates.py; here it is only drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from preflight.advise.choose import CONSTANT_PREDICTOR
from preflight.report.comparison import OTHER, TODAY
from preflight.report.curves import LOG, LOG_RATIO_NORM, Curve, norm_scale, scale, scale_of, score_scale, values_of
from preflight.report.drawing import COLORS, Drawing, Key, canvas, set_scale, to_svg
from preflight.report.rates import Ladder, Point
from preflight.report.sources import SCORED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Height, as a share of the axis, of what has no finite value; several ladders stand below each other.
_TOP, _APART = 0.97, 0.05
_THIN, _BOLD = 0.6, 2.0


@dataclass(frozen=True)
class Rate:
    """A learning rate to mark: today's or the recommended one."""

    role: str
    label: str
    lr: float


def ladders_figure(ladders: Sequence[Ladder], roles: Mapping[str, str], rates: Sequence[Rate]) -> Drawing:
    """Largest gradient norm and final loss against the learning rate, a line per normalization."""
    with canvas(2) as (figure, (left, right)):
        for index, ladder in enumerate(ladders):
            color, lrs = COLORS[roles[ladder.label]], [rung.lr for rung in ladder.rungs]
            for axes, values in (
                (left, [rung.median_max_norm for rung in ladder.rungs]),
                (right, [rung.final_loss for rung in ladder.rungs]),
            ):
                _rung_line(axes, lrs, values, color, "o-")
                _lost_rungs(axes, lrs, values, color, _TOP - index * _APART)
            _rung_line(left, lrs, [rung.worst_max_norm for rung in ladder.rungs], color, ":")
        rungs = [rung for ladder in ladders for rung in ladder.rungs]
        norms = [norm for rung in rungs for norm in (rung.median_max_norm, rung.worst_max_norm)]
        for axes, title, values in (
            (left, "Largest gradient norm, median of seeds", norms),
            (right, "Loss at the end, median of seeds", [rung.final_loss for rung in rungs]),
        ):
            _rate_axis(axes, [rung.lr for rung in rungs], rates)
            finite = [value for value in values if math.isfinite(value)]
            set_scale(axes, "y", scale(np.array(finite), LOG_RATIO_NORM), finite)
            axes.set_title(title)
        svg = to_svg(figure, "ladders", "Largest gradient norm and final loss against the learning rate")
    keys = [Key(roles[ladder.label], "line", ladder.label) for ladder in ladders]
    keys.append(Key("ink", "dotted", "worst seed"))
    if not all(math.isfinite(value) for rung in rungs for value in (rung.median_max_norm, rung.final_loss)):
        keys.append(Key("ink", "triangle", "not finite"))
    return Drawing(svg, (*keys, *(Key(rate.role, "vertical", rate.label) for rate in rates)))


def trajectories_figure(scores: Sequence[Curve], losses: Sequence[Curve]) -> Drawing:
    """Validation score and training loss against steps, a thin line per run and the median in bold."""
    with canvas(2) as (figure, (left, right)):
        _curves(left, scores, score_scale(values_of(scores)), "Validation score", marker="o")
        _curves(right, losses, scale_of(losses), "Training loss (weighted total)")
        if scores:
            _constant_predictor(left)
        svg = to_svg(figure, "trajectories", "Validation score and training loss against steps")
    keys = _curve_keys([*scores, *losses])
    return Drawing(svg, (*keys, Key("ink", "dashed", "best constant predictor")) if scores else keys)


def norms_figure(overall: Sequence[Curve], components: Sequence[Curve]) -> Drawing:
    """Gradient norm of the whole model on both sides, and of each component of today's."""
    colored = [(f"c{index}", curve) for index, curve in enumerate(components)]
    with canvas(2 if components else 1) as (figure, panels):
        _curves(panels[0], overall, norm_scale(overall), "Gradient norm, whole model")
        if components:
            _components(panels[1], colored)
        svg = to_svg(figure, "norms", "Gradient norms against steps")
    return Drawing(svg, (*_curve_keys(overall), *(Key(role, "line", curve.label) for role, curve in colored)))


def points_figure(points: Sequence[Point], groups: Mapping[str, str]) -> Drawing:
    """Validation score of every explored trial against its learning rate; ``groups`` gives each group's colour."""
    with canvas(1) as (figure, (axes,)):
        for point in points:
            _point(axes, point, COLORS[groups[point.group]])
        _rate_axis(axes, [point.lr for point in points], [])
        scores = np.array([point.score for point in points if math.isfinite(point.score)])
        set_scale(axes, "y", score_scale(scores), [*scores, CONSTANT_PREDICTOR])
        _constant_predictor(axes)
        axes.set_title("Validation score")
        svg = to_svg(figure, "explored", "Validation score of explored trials against their learning rate")
    keys = [Key(role, "dot", group) for group, role in groups.items()]
    keys += [Key("ink", mark, label) for mark, label, is_there in (
        ("circle", "stopped early", any(point.status == "pruned" for point in points)),
        ("cross", "no score", any(not math.isfinite(point.score) for point in points)),
        ("dashed", "best constant predictor", True),
    ) if is_there]  # fmt: skip
    if any(point.is_today for point in points):
        keys.append(Key("ink", "ring", "today's settings"))
    return Drawing(svg, tuple(keys))


def _rung_line(axes: Axes, lrs: Sequence[float], values: Sequence[float], color: str, style: str) -> None:
    finite = [value if math.isfinite(value) else math.nan for value in values]
    axes.plot(lrs, finite, style, color=color, markersize=4, linewidth=1.6)


def _lost_rungs(axes: Axes, lrs: Sequence[float], values: Sequence[float], color: str, height: float) -> None:
    lost = [lr for lr, value in zip(lrs, values, strict=True) if not math.isfinite(value)]
    axes.plot(lost, [height] * len(lost), "^", color=color, markersize=6, transform=axes.get_xaxis_transform())


def _rate_axis(axes: Axes, lrs: Sequence[float], rates: Sequence[Rate]) -> None:
    low, high = min(lrs), max(lrs)
    set_scale(axes, "x", LOG, [low, high])
    axes.set_xlim(low / 1.4, high * 1.4)
    axes.set_xlabel("learning rate")
    for rate in rates:
        axes.axvline(rate.lr, color=COLORS[rate.role], linestyle=(0, (1, 2)), linewidth=1.4)


def _constant_predictor(axes: Axes) -> None:
    axes.axhline(CONSTANT_PREDICTOR, color=COLORS["ink"], linestyle="--", linewidth=1)


def _curves(axes: Axes, curves: Sequence[Curve], kind: str, title: str, marker: str | None = None) -> None:
    axes.set_title(title)
    axes.set_xlabel("optimizer steps")
    for curve in curves:
        color = COLORS[curve.role]
        for line in curve.lines if curve.runs > 1 else ():
            axes.plot(line.x, line.y, color=color, linewidth=_THIN, alpha=0.4)
        axes.plot(curve.median.x, curve.median.y, color=color, linewidth=_BOLD, marker=marker, markersize=4, zorder=3)
        for line in (line for line in curve.lines if line.diverged and len(line)):
            axes.plot(line.x[-1], line.y[-1], "x", color=color, markersize=7, markeredgewidth=2, zorder=4)
    _finish(axes, curves, kind)


def _components(axes: Axes, colored: Sequence[tuple[str, Curve]]) -> None:
    curves = [curve for _, curve in colored]
    axes.set_title("Gradient norm by component, today's settings")
    axes.set_xlabel("optimizer steps")
    for role, curve in colored:
        axes.plot(curve.median.x, curve.median.y, color=COLORS[role], linewidth=1.6)
    _finish(axes, curves, norm_scale(curves))


def _finish(axes: Axes, curves: Sequence[Curve], kind: str) -> None:
    if curves:
        axes.set_xlim(left=0)
        set_scale(axes, "y", kind, values_of(curves).tolist())
    else:
        axes.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axes.transAxes)


def _curve_keys(curves: Sequence[Curve]) -> tuple[Key, ...]:
    labels = {curve.role: curve.label for curve in curves}
    keys = [Key(role, "line", labels[role]) for role in (TODAY, OTHER) if role in labels]
    if any(line.diverged for curve in curves for line in curve.lines):
        keys.append(Key("ink", "cross", "diverged"))
    return tuple(keys)


def _point(axes: Axes, point: Point, color: str) -> None:
    if not math.isfinite(point.score):
        axes.plot(point.lr, _TOP, "x", color=color, markersize=6, transform=axes.get_xaxis_transform())
    else:
        fill = color if point.status == SCORED[0] else "none"
        axes.plot(point.lr, point.score, "o", color=color, markerfacecolor=fill, markersize=6)
    if point.is_today:
        height = point.score if math.isfinite(point.score) else _TOP
        transform = axes.transData if math.isfinite(point.score) else axes.get_xaxis_transform()
        axes.plot(
            point.lr, height, "o", color=COLORS["ink"], fillstyle="none", markersize=13, markeredgewidth=1.4,
            transform=transform,
        )  # fmt: skip
