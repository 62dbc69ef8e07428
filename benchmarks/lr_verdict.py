"""Suggestions -> figures: decades to the best learning rate, regret, steps; and whether the targets hold."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.lr_truth import Truth

# Fixed before anything was measured: benchmarks.md, B1.
MEDIAN_DECADES, WORST_DECADES, MEDIAN_REGRET = 0.25, 0.5, 0.05
# Of a regret: what no number of seeds here would tell from nothing.
SAME_REGRET = 0.01
OURS, BEST_PEER = "preflight", "fastai valley"


@dataclass(frozen=True)
class Suggestion:
    """What a tool said with one seed, and the optimizer steps that it took.

    ``lr`` is None where it gave none, with its ``error``, or needs none: then ``loss`` is what it trained to, with the
    seed of one of the truth's runs. ``start`` is the learning rate that it was given as today's, where it takes one.
    """

    lr: float | None
    steps: int
    error: str = ""
    loss: float | None = None
    start: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Figures of a tool on a task; ``decades`` are None for one that names no rate, infinite where it failed to.

    They count to the best rate of the grid, ``fine_decades`` to the best between its rates too.
    """

    tool: str
    lrs: tuple[float | None, ...]
    decades: float | None
    worst_decades: float | None
    fine_decades: float | None
    regret: float
    worst_regret: float
    steps: int
    failed: int
    errors: tuple[str, ...] = ()


def judge(tool: str, given: Sequence[Suggestion], truth: Truth) -> Verdict:
    """Medians over the seeds, and the worst one."""
    regrets = [_regret(item, truth) for item in given]
    named, fine = ([_decades(item, best) for item in given if item.loss is None] for best in _both(truth))
    return Verdict(
        tool=tool,
        lrs=tuple(item.lr for item in given),
        decades=statistics.median(named) if named else None,
        worst_decades=max(named) if named else None,
        fine_decades=statistics.median(fine) if fine else None,
        regret=statistics.median(regrets),
        worst_regret=max(regrets),
        steps=round(statistics.median(item.steps for item in given)),
        failed=sum(item.lr is None and item.loss is None for item in given),
        errors=tuple(dict.fromkeys(item.error for item in given if item.error)),
    )


def _regret(item: Suggestion, truth: Truth) -> float:
    if item.loss is not None:
        return item.loss / truth.best_loss - 1
    return truth.regret(item.lr) if item.lr else math.inf


def _both(truth: Truth) -> tuple[float, float]:
    return truth.best_lr, truth.fine_best_lr


def _decades(item: Suggestion, best: float) -> float:
    return abs(math.log10(item.lr / best)) if item.lr else math.inf


def targets(verdicts: Mapping[str, Sequence[Verdict]]) -> list[dict[str, Any]]:
    """B1's four, for every task that preflight was run on."""
    return [row for task, found in verdicts.items() for row in _targets(task, {item.tool: item for item in found})]


def _targets(task: str, by_tool: Mapping[str, Verdict]) -> list[dict[str, Any]]:
    ours, peer = by_tool.get(OURS), by_tool.get(BEST_PEER)
    if ours is None:
        return []
    assert ours.decades is not None and ours.worst_decades is not None
    rows = [
        _row(f"{task}: decades off, median", MEDIAN_DECADES, ours.decades),
        _row(f"{task}: decades off, worst seed", WORST_DECADES, ours.worst_decades),
        _row(f"{task}: regret, median", MEDIAN_REGRET, ours.regret),
    ]
    if peer is not None:
        rows.append(_row(f"{task}: regret, beside {BEST_PEER}", peer.regret + SAME_REGRET, ours.regret))
    return rows


def _row(name: str, limit: float, value: float) -> dict[str, Any]:
    return {"name": name, "target": f"<= {limit:.3g}", "value": value, "holds": value <= limit}
