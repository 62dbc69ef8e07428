"""Figures of a telemetry directory as PNG files. What they show is computed in telemetry.py; here it is only drawn."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from preflight.core.errors import ConfigError
from preflight.report.curves import LINEAR
from preflight.report.drawing import COLORS, canvas, set_scale
from preflight.report.telemetry import Bars, Panel, Plot, plots
from preflight.telemetry.recording import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 144
_ROLES = ("c0", "c1", "c2", "c3", "c4", "c5")
_TOP = 0.97


def write_figures(recording: Recording, folder: Path) -> list[Path]:
    """Draw every figure that there is something for into ``folder``; returns the files.

    Raises :class:`ConfigError` where they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_write(plot, folder) for plot in plots(recording)]
    except OSError as error:
        raise ConfigError(f"--figures={folder} cannot be written: {error.strerror or error}") from error


def _write(plot: Plot, folder: Path) -> Path:
    path = folder / f"{plot.name}.png"
    path.write_bytes(png(plot))
    return path


def png(plot: Plot) -> bytes:
    """A figure as a PNG image on white."""
    buffer = io.BytesIO()
    with canvas(len(plot.panels)) as (figure, axes):
        for place, panel in zip(axes, plot.panels, strict=True):
            _draw(place, panel)
        figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _draw(axes: Axes, panel: Panel) -> None:
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    if panel.bars is not None:
        _bars(axes, panel.bars, panel.scale)
        return
    for role, trace in zip(_ROLES, panel.traces, strict=False):
        line, color = ("--", COLORS["ink"]) if trace.dashed else ("-", COLORS[role])
        marker = "o" if len(trace.x) <= 30 and not trace.dashed else None
        axes.plot(trace.x, trace.y, line, color=color, linewidth=1.2, marker=marker, markersize=3, label=trace.label)
        if len(trace.broken):
            axes.plot(
                trace.broken, [_TOP] * len(trace.broken), "^", color=COLORS[role], markersize=5,
                transform=axes.get_xaxis_transform(), label=f"{trace.label}: not finite",
            )  # fmt: skip
    values = [float(value) for trace in panel.traces for value in trace.y]
    if values:
        set_scale(axes, "y", panel.scale, values)
    if panel.traces:
        axes.legend(frameon=False, fontsize="small", ncols=1 if len(panel.traces) < 4 else 2)


def _bars(axes: Axes, bars: Bars, scale: str) -> None:
    axes.stairs(bars.counts, bars.edges, fill=True, color=COLORS["other"], alpha=0.8)
    axes.axvline(bars.median, color=COLORS["today"], linestyle="--", linewidth=1.4, label=f"median {bars.median:.4g}")
    axes.set_ylabel("steps")
    if scale != LINEAR:
        set_scale(axes, "x", scale, [float(edge) for edge in bars.edges])
    axes.legend(frameon=False, fontsize="small")
