"""Matplotlib as inline SVG: colours of the page's style sheet, ids of its own, no metadata, no global state."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from preflight.report import format as fmt
from preflight.report.curves import LINEAR, LOG, SYMLOG

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with every kind of colour blindness. In the page each one is a CSS variable of
# the same name, so that figures follow the light or dark style.
COLORS = {
    "today": "#d55e00",
    "other": "#0072b2",
    "c0": "#009e73",
    "c1": "#cc79a7",
    "c2": "#e69f00",
    "c3": "#56b4e9",
    "c4": "#785ef0",
    "c5": "#8c8c8c",
    "ink": "#5c6470",
    "grid": "#d9dce1",
}
WIDTH_IN = 10.0
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "preflight",
    "text.parse_math": False,
    "path.simplify": True,
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLORS["ink"],
    "axes.labelcolor": COLORS["ink"],
    "axes.titlecolor": COLORS["ink"],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLORS["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": COLORS["ink"],
    "ytick.color": COLORS["ink"],
    "text.color": COLORS["ink"],
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Key:
    """An entry of a figure's legend, which the page writes: names of users never enter a figure."""

    role: str
    mark: str
    label: str


@dataclass(frozen=True)
class Drawing:
    """A figure for the page."""

    svg: Markup
    keys: tuple[Key, ...]


@contextmanager
def canvas(panels: int, height_in: float = 3.3) -> Iterator[tuple[Figure, Sequence[Axes]]]:
    """A figure with panels side by side, drawn in the page's style."""
    import matplotlib  # noqa: PLC0415  # only where something is drawn
    from matplotlib.figure import Figure  # noqa: PLC0415

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        yield figure, list(figure.subplots(1, panels, squeeze=False)[0])


def to_svg(figure: Figure, name: str, alt: str) -> Markup:
    """The figure as an ``svg`` element; ``name`` makes its ids unique in the page. Call it inside :func:`canvas`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    return Markup(_in_page(text[text.index("<svg") :].strip(), name, alt))  # matplotlib's own output


def _in_page(svg: str, name: str, alt: str) -> str:
    opening, rest = svg.split(">", 1)
    box = re.search(r'viewBox="([^"]*)"', opening)
    assert box is not None
    rest = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", rest)
    rest = re.sub(r' (?:d|x|y|transform)="[^"]*"', _rounded, rest)
    for role, color in COLORS.items():
        rest = rest.replace(color, f"var(--{role})")
    return f'<svg viewBox="{box[1]}" role="img" aria-label="{escape(alt)}">{rest}'


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point: half the size, and nobody sees it."""
    return re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", attribute[0])


def set_scale(axes: Axes, which: str, scale: str, values: Sequence[float]) -> None:
    """Put an axis on ``linear``, ``log`` or ``symlog``, with tick labels that need no superscripts."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    if scale == LINEAR:
        return
    options = {"linthresh": max(sorted(abs(v) for v in values)[len(values) // 2], 1e-12)} if scale == SYMLOG else {}
    (axes.set_xscale if which == "x" else axes.set_yscale)(scale, **options)
    axis = axes.xaxis if which == "x" else axes.yaxis
    if scale == LOG:
        low, high = min(value for value in values if value > 0), max(values)
        axis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 1000 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: fmt.tick(value)))
    axis.set_minor_formatter(NullFormatter())
