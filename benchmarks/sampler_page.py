"""The table of the samplers and the pruners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def lines(results: Mapping[str, Any]) -> Iterator[str]:
    """Tasks, both tables and the targets."""
    for name, task in results["tasks"].items():
        yield (
            f"{name} ({task['fault'] or 'healthy'}): {task['sampler_seeds']} sampler seeds; at the horizon today's "
            f"{task['today']:.4g}, known to be good {task['known_good']:.4g}, best {task['best']:.4g}; "
            f"{_moved(task['moved'])}"
        )
    for kind in ("sampler", "pruner"):
        yield (
            f"{kind:27s}{'regret (worst)':>17s}{'beside ours':>21s}{'trials so far':>15s}{'steps':>7s}{'trials':>7s}"
            f"{'pruned':>8s}{'repeated':>9s}"
        )
        yield from (_row(name, row) for name, row in results[kind].items())
        yield from _by_task(kind, results)
    for row in results["targets"]:
        yield f"{'holds' if row['holds'] else 'MISSED':7s}{row['name']}: {row['value']:.3f}, target {row['target']}"


def _moved(found: Mapping[str, Any]) -> str:
    if not found["settings"]:
        return "of the settings drawn none trains"
    return f"rounding moves a trial's score by {found['by_rounding']:.0%}, another seed by {found['by_seed']:.0%}"


def _row(name: str, row: Mapping[str, Any]) -> str:
    regret = f"{row['regret']:.0%} ({row['worst_regret']:.0%})"
    beside = "ours" if row["ratio"] is None else "{:.3f} ({:.3f}-{:.3f})".format(*row["ratio"])
    so_far = f"{row['half_way']:.0%}, {row['trial_regret']:.0%}"
    return (
        f"{name:27s}{regret:>17s}{beside:>21s}{so_far:>15s}{row['steps']:7.0f}{row['trials']:7.0f}"
        f"{row['pruned']:8.0%}{row['repeated']:9.1%}"
    )


def _by_task(kind: str, results: Mapping[str, Any]) -> Iterator[str]:
    """Median regret of every method, a task a line."""
    for task in results["tasks"]:
        found = ", ".join(f"{name} {row['by_task'][task]:.0%}" for name, row in results[kind].items())
        yield f"  {task}: {found}"
