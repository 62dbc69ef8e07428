"""What a run that was stopped has found so far, in a few lines."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from preflight.cli.grid import number
from preflight.report import format as fmt
from preflight.report.interim import Interim, interim
from preflight.report.sources import Sources


def show_interim(console: Console, run_dir: Path) -> None:
    """Best explored settings beside today's; nothing where there are not both."""
    sources = Sources.read(run_dir)
    found = interim(sources)
    if found is None:
        return
    console.print("So far, unconfirmed:", style="bold", markup=False)
    for line in _lines(found, sources.metric_name):
        console.print(f"  {line}", markup=False)


def _lines(found: Interim, metric: str) -> list[str]:
    before, after = map(number, found.scores)
    trials = fmt.count(found.trials, "explored trial")
    length = f"one trial of {fmt.count(found.best.steps, 'step')} each"
    if not found.is_better:
        return [
            f"none of {trials} is better than today's settings",
            f"score {before}, best of the others {after}, in {length}",
        ]
    changes = [
        f"{name}: {fmt.setting(name, old)} -> {fmt.setting(name, new)}" for name, (old, new) in found.changes.items()
    ]
    pair = f", {metric} {number(found.today.metric)} -> {number(found.best.metric)}" if metric else ""
    return [*changes, f"score {before} -> {after}{pair} in {length}, the best of {trials}"]
