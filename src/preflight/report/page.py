"""The report: one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from preflight.advise.recommendation import CHANGE
from preflight.report import rates
from preflight.report.comparison import OTHER, TODAY, Comparison, compare
from preflight.report.content import page_content
from preflight.report.curves import Curve, component_curves, loss_curve, norm_curve, score_curve
from preflight.report.drawing import Drawing
from preflight.report.figures import Rate, ladders_figure, norms_figure, points_figure, trajectories_figure
from preflight.report.sources import Sources
from preflight.telemetry import store


@dataclass(frozen=True)
class Figures:
    """The page's figures; None where there is nothing to show."""

    ladders: Drawing | None
    trajectories: Drawing | None
    norms: Drawing | None
    explored: Drawing | None


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` from what a run directory holds, however far the run came; returns its path.

    Raises :class:`InputError` where ``run_dir`` is no run directory.
    """
    sources = Sources.read(run_dir)
    ladders, comparison = rates.ladders(sources), compare(sources)
    html = render(
        "report.html",
        page=page_content(sources, ladders, comparison),
        figures=_figures(sources, ladders, comparison),
    )
    path = run_dir / store.REPORT
    store.write_text(path, html)
    return path


def render(name: str, **content: object) -> str:
    """A page of the template ``name``; what it asks for and is not given is an error."""
    environment = Environment(
        loader=PackageLoader("preflight.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**content)


def _figures(sources: Sources, ladders: list[rates.Ladder], comparison: Comparison | None) -> Figures:
    points = rates.points(sources)
    return Figures(
        ladders=_ladders(sources, ladders),
        trajectories=None if comparison is None else _trajectories(comparison, sources.today.batch_size),
        norms=None if comparison is None else _norms(comparison, sources.today.batch_size),
        explored=points_figure(points, rates.group_roles(points, sources)) if points else None,
    )


def _ladders(sources: Sources, ladders: list[rates.Ladder]) -> Drawing | None:
    climbed = [ladder for ladder in ladders if ladder.rungs]
    if not climbed:
        return None
    marks = [Rate(TODAY, "today's learning rate", sources.today.lr)]
    answer = sources.recommendation
    if answer is not None and answer.decision == CHANGE and answer.recommended.lr != sources.today.lr:
        marks.append(Rate(OTHER, "recommended learning rate", answer.recommended.lr))
    return ladders_figure(climbed, rates.roles([ladder.label for ladder in climbed], sources), marks)


def _trajectories(comparison: Comparison, batch_size: int) -> Drawing | None:
    scores = _recorded(score_curve(side, batch_size) for side in comparison.sides)
    losses = _recorded(loss_curve(side, batch_size) for side in comparison.sides)
    return trajectories_figure(scores, losses) if scores or losses else None


def _norms(comparison: Comparison, batch_size: int) -> Drawing | None:
    overall = _recorded(norm_curve(side, batch_size) for side in comparison.sides)
    today = comparison.side(TODAY)
    components = [] if today is None else component_curves(today, batch_size)
    return norms_figure(overall, components) if overall else None


def _recorded(curves: Iterable[Curve | None]) -> list[Curve]:
    return [curve for curve in curves if curve is not None]
