"""How safe the answer is, a line each: walls, the distance to divergence, what came next and what mattered."""

from __future__ import annotations

from rich.console import Console

from preflight.report.format import MINUS
from preflight.report.margins import RunnerRow, margins, mattered
from preflight.report.sources import Sources


def show_margins(console: Console, sources: Sources) -> None:
    """The margins of an answer, as far as there are any; the tables are in the report."""
    found, which = margins(sources), mattered(sources)
    if found is not None:
        for text in found.walls:
            console.print(f"  {text}", style="bold yellow", markup=False, soft_wrap=True)
        for text in (found.reach, found.valley):
            if text:
                console.print(f"  {text}", markup=False, soft_wrap=True)
        for row in found.runners[:1]:
            console.print(f"  next best: {_runner(row)}", markup=False, soft_wrap=True)
    if which is not None:
        console.print(f"  {which.sentence}", markup=False, soft_wrap=True)


def _runner(row: RunnerRow) -> str:
    note = f", {row.note}" if row.note else ""
    return f"{row.settings}; score {row.cost} ({row.interval}){note}".replace(MINUS, "-")
