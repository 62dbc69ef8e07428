"""B1: does the learning rate that a tool names work? `python -m benchmarks.lr_choice [--quick] [--only TASK ...]`.

The truth of a task is a grid of learning rates, several seeds each, trained to the horizon with the task's schedule.
Every tool names a rate on several seeds, and is judged by decades to the best one and by regret: the loss at its rate
over the best loss, less 1. `--runs DIR` keeps what was trained; what is there is not trained again. The peers are in
the extra `bench`; one that is not there, or does not work, stands in the table with its error.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.lr_peers.base import Answers, Question, Tool
from benchmarks.lr_peers.fastai_finder import fastai
from benchmarks.lr_peers.lightning_finder import lightning
from benchmarks.lr_peers.lr_free import prodigy, schedule_free
from benchmarks.lr_peers.ours import ours
from benchmarks.lr_peers.search import budget_grid, plain_tpe, random_search
from benchmarks.lr_peers.torch_finder import torch_lr_finder
from benchmarks.lr_tasks import TASKS
from benchmarks.lr_tasks.base import LrTask
from benchmarks.lr_truth import measure
from benchmarks.lr_verdict import OURS, Suggestion, Verdict, judge, targets
from benchmarks.measuring import measuring
from preflight.telemetry import store

RESULTS = Path(__file__).parent / "results" / "lr_choice.json"
# preflight is first: the searches get the steps that it took.
TOOLS: Mapping[str, Tool] = {
    OURS: ours,
    "fastai": fastai,
    "Lightning": lightning,
    "torch-lr-finder": torch_lr_finder,
    "Prodigy": prodigy,
    "schedule-free AdamW": schedule_free,
    "budget grid": budget_grid,
    "random search": random_search,
    "Optuna TPE": plain_tpe,
}
NAMES = tuple(task.name for task in TASKS)
QUICK = ("digits_standardized_adam", "two_losses")
SEEDS, QUICK_SEEDS, QUICK_TRUTH_SEEDS = 5, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 0 where all targets hold."""
    options = _options(arguments)
    found: dict[str, dict[str, Any]] = {}
    with measuring(options.runs) as folder:
        for task in (task for task in TASKS if task.name in options.only):
            found[task.name] = _task(task, folder / task.name, options)
            print("\n".join(_text(found[task.name])), flush=True)
    rows = targets({name: [Verdict(**item) for item in result["tools"]] for name, result in found.items()})
    print("\n".join(f"{'holds' if row['holds'] else 'MISSED':7s}{_target(row)}" for row in rows))
    if not options.quick:
        _write(found)
    return int(not all(row["holds"] for row in rows))


def _task(task: LrTask, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    store.create_folder(folder)
    truth = measure(task, folder / "truth.json", QUICK_TRUTH_SEEDS if options.quick else task.truth_seeds)
    given: dict[str, list[Suggestion]] = {}
    for name in (name for name in TOOLS if name in options.tools):
        budget = round(statistics.median([item.steps for item in given.get(OURS, ())] or [0]))
        for seed in range(QUICK_SEEDS if options.quick else SEEDS):
            answers = _asked(name, Question(task, seed, truth, budget, folder / name.replace(" ", "-") / f"{seed}"))
            for tool, answer in answers.items():
                given.setdefault(tool, []).append(answer)
    return {
        "name": task.name,
        "horizon_steps": task.horizon_steps,
        "best_lr": truth.best_lr,
        "best_loss": truth.best_loss,
        "fine_best_lr": truth.fine_best_lr,
        "as_good": truth.as_good,
        "seeds_pick": truth.seeds_pick,
        "noise": truth.noise,
        "curve": {f"{lr:g}": truth.loss_at(lr) for lr in sorted({**truth.losses, **truth.fine})},
        "tools": [asdict(judge(tool, items, truth)) for tool, items in given.items()],
    }


def _asked(name: str, question: Question) -> Answers:
    """What a tool answers, or has answered; an answer that failed is not kept."""
    path = store.create_folder(question.folder) / "answer.json"
    if path.is_file():
        return {tool: Suggestion(**item) for tool, item in store.read_json(path).items()}
    try:
        answers = TOOLS[name](question)
    except Exception as error:  # a peer's own, or a peer that is not installed: it stands in the table
        return {name: Suggestion(None, 0, f"{type(error).__name__}: {error}")}
    store.write_json(path, {tool: asdict(item) for tool, item in answers.items()})
    return answers


def _text(result: Mapping[str, Any]) -> list[str]:
    low, high = result["as_good"]
    picks = ", ".join(f"{lr:g}" for lr in sorted(set(result["seeds_pick"])))
    lines = [
        f"{result['name']}: best LR {result['best_lr']:g}, loss {result['best_loss']:.4g} (+-{result['noise']:.0%}), "
        f"between rates of the grid {result['fine_best_lr']:g}; within 5% from {low:g} to {high:g}",
        f"  single seeds of the grid pick {picks}",
        f"  {'':20s} {'decades off':>16s} {'finer':>6s} {'regret':>18s} {'steps':>7s}  learning rates",
    ]
    for item in result["tools"]:
        off = "-" if item["decades"] is None else f"{item['decades']:.2f} ({item['worst_decades']:.2f})"
        finer = "-" if item["fine_decades"] is None else f"{item['fine_decades']:.2f}"
        regret = f"{_percent(item['regret'])} ({_percent(item['worst_regret'])})"
        rates = ", ".join("-" if lr is None else f"{lr:.2g}" for lr in item["lrs"])
        lines.append(f"  {item['tool']:20s} {off:>16s} {finer:>6s} {regret:>18s} {item['steps']:7d}  {rates}")
        lines += [f"    {item['failed']} failed: {error[:150]}" for error in item["errors"]]
    return lines


def _percent(share: float) -> str:
    return f"{share:.0%}" if math.isfinite(share) else "lost"


def _target(row: Mapping[str, Any]) -> str:
    return f"{row['name']}: {row['value']:.3g}, target {row['target']}"


def _write(found: Mapping[str, Any]) -> None:
    """Tasks and tools that were not run keep their figures."""
    kept = store.read_json(RESULTS)["tasks"] if RESULTS.is_file() else {}
    merged = {**kept, **{name: joined(kept.get(name), result) for name, result in found.items()}}
    tasks = {name: merged[name] for name in NAMES if name in merged}
    rows = targets({name: [Verdict(**item) for item in result["tools"]] for name, result in tasks.items()})
    store.write_json(RESULTS, {"tasks": tasks, "targets": rows})


def joined(kept: Mapping[str, Any] | None, found: Mapping[str, Any]) -> dict[str, Any]:
    """A task's figures with those of other tools that were measured before, by the same truth."""
    if kept is None or kept["curve"] != found["curve"]:
        return dict(found)
    tools = {item["tool"]: item for item in (*kept["tools"], *found["tools"])}
    return {**found, "tools": list(tools.values())}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lr_choice", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two tasks, fewer seeds")
    parser.add_argument("--only", nargs="+", choices=NAMES, help="these tasks")
    parser.add_argument("--tools", nargs="+", choices=tuple(TOOLS), default=tuple(TOOLS), help="these tools alone")
    parser.add_argument("--runs", type=Path, help="keep what is trained here, and take what is there")
    options = parser.parse_args(arguments)
    if options.only is None:
        options.only = QUICK if options.quick else NAMES
    return options


if __name__ == "__main__":
    sys.exit(main())
