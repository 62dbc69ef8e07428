"""B2's picture: the gain that preflight claimed of every start, beside the one that fresh seeds realised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from preflight.advise.evidence import Effect

PICTURE = Path(__file__).parent / "results" / "calibration.svg"
# Shares of the score that is left, as the axes name them.
TICKS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
LOWEST = 0.005
HELD, MISSED = "#1f77b4", "#d62728"


@dataclass(frozen=True)
class Claim:
    """What was claimed of one start, and what came of it; ``held`` where the interval holds the realised gain."""

    claimed: Effect
    realised: Effect
    held: bool


def draw(claims: Sequence[Claim], path: Path = PICTURE) -> None:
    """Save the picture."""
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    axes: Axes = figure.add_subplot()
    axes.plot([LOWEST, 1.2], [LOWEST, 1.2], color="0.7", linewidth=1, zorder=1)
    for claim in claims:
        _point(axes, claim)
    for axis, name in ((axes.xaxis, "claimed"), (axes.yaxis, "realised on fresh seeds")):
        axis.set_label_text(f"score that is left of today's, {name}")
    axes.set(xscale="log", yscale="log", xlim=(LOWEST, 1.2), ylim=(LOWEST, 1.2), aspect="equal")
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks(TICKS, [f"{tick:.0%}" for tick in TICKS], minor=False)
        set_ticks([], minor=True)
    held = sum(claim.held for claim in claims)
    axes.set_title(f"{held} of {len(claims)} claimed intervals hold the realised gain", fontsize=11)
    with mpl.rc_context({"svg.hashsalt": "preflight"}):  # the same picture is the same file
        figure.savefig(path, metadata={"Date": None})


def _point(axes: Axes, claim: Claim) -> None:
    """One start, with both intervals."""
    (x, left, right), (y, low, high) = (_left(effect) for effect in (claim.claimed, claim.realised))
    axes.errorbar(
        [x],
        [y],
        xerr=[[x - left], [right - x]],
        yerr=[[y - low], [high - y]],
        fmt="o" if claim.held else "s",
        color=HELD if claim.held else MISSED,
        markersize=5,
        elinewidth=1,
        alpha=0.85,
    )


def _left(effect: Effect) -> tuple[float, float, float]:
    """Share of the score that is left, with its bounds, inside the picture."""
    left = [1 - value for value in (effect.gain, effect.high, effect.low)]
    middle, low, high = (min(max(value if math.isfinite(value) else 1.2, LOWEST), 1.2) for value in left)
    return middle, low, high
