"""A start as its exploration begins, and a table of what its settings score: real trials, each trained once.

Searches of many samplers and seeds are affordable since their proposals are rounded to cells before they are trained:
learning rates to eighths of a decade, loss weights to half decades. Two training seeds are taken by turns.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution

from benchmarks.whole_setup import Setup, set_up, settings_of
from benchmarks.whole_starts import Start
from preflight.core.params import Params, ParamValue
from preflight.pipeline.audience import Nobody
from preflight.pipeline.axes import free_normalizations, searched
from preflight.pipeline.ladder import Ladders
from preflight.pipeline.written import rounded
from preflight.search.engines.base import Ended, unheard
from preflight.search.engines.inline import Inline
from preflight.telemetry import store
from preflight.trials.evaluation import Evaluation
from preflight.trials.lab import Lab, TrialSpec, never
from preflight.trials.loop import Hopeless
from preflight.trials.outcome import COMPLETED, PRUNED, Outcome, Result

LR_CELLS, WEIGHT_CELLS = 8, 2  # a decade
TRAINING_SEEDS = 2
JUDGING_SEEDS = (9001, 9002, 9003)  # preflight counts its own from the run's seed


@dataclass
class Table:
    """Results by settings, seed and steps, in a file that is only ever added to: ``[[step, score], ...]`` of the rungs.

    ``trained_steps`` counts the steps that were really trained, and not taken from the file.
    """

    path: Path
    lab: Lab
    known: dict[str, Any] = field(default_factory=dict)
    trained_steps: int = 0

    def __post_init__(self) -> None:
        if self.path.is_file():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            self.known = {item["id"]: item for item in map(json.loads, lines)}

    def of(self, params: Params, seed: int, steps: int, rungs: int) -> Mapping[str, Any]:
        """A whole run: its status, final score (None without one), steps done, and rungs."""
        name = hashlib.sha256(repr((params.key(), seed, steps, rungs)).encode()).hexdigest()[:20]
        if name not in self.known:
            self.known[name] = {"id": name, **self._trained(TrialSpec("cell", 0, params, seed, steps, rungs))}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self.known[name]) + "\n")
        return dict(self.known[name])

    def _trained(self, spec: TrialSpec) -> dict[str, Any]:
        reached: list[list[float]] = []

        def note(steps_done: int, evaluation: Evaluation) -> bool:
            reached.append([steps_done, evaluation.score])
            return False

        result = self.lab.run(spec, note)
        self.trained_steps += result.steps_done
        return {
            "status": result.outcome.status,
            "score": result.score if math.isfinite(result.score) else None,
            "steps": result.steps_done,
            "rungs": reached,
        }


@dataclass
class Replay:
    """An engine whose trials are looked up in the table, and given up where a pruner would have; counts their steps."""

    table: Table
    today: Params
    steps: int = 0

    def run_one(self, spec: TrialSpec, hopeless: Hopeless) -> Result:
        """Result of the cell that the settings lie in."""
        found = self.table.of(cell(spec.params, self.today), spec.seed % TRAINING_SEEDS, spec.steps, spec.rungs)
        for step, score in found["rungs"]:
            if hopeless(step, Evaluation({}, score, math.nan, {})):
                return self._ended(PRUNED, score, step)
        return self._ended(found["status"], math.nan if found["score"] is None else found["score"], found["steps"])

    def run(self, specs: Sequence[TrialSpec], ended: Ended = unheard) -> Iterator[Result]:
        """Results of ``specs``."""
        for spec in specs:
            yield self.run_one(spec, never)
            ended()

    def close(self) -> None:
        """Nothing to end."""

    def _ended(self, status: str, score: float, steps: int) -> Result:
        self.steps += steps
        return Result(Outcome(status), score, math.nan, {}, steps, 0.0)


def cell(params: Params, today: Params) -> Params:
    """``params`` with the numbers that differ from today's in the middle of their cells."""
    return params.with_values(
        {name: _rounded(name, value) for name, value in params.changes_from(today).items() if _is_rounded(name, value)}
    )


def _is_rounded(name: str, value: ParamValue) -> bool:
    return (name == "lr" or name.startswith("loss_weights.")) and isinstance(value, float) and value > 0


def _rounded(name: str, value: Any) -> float:
    cells = LR_CELLS if name == "lr" else WEIGHT_CELLS
    return float(f"{10 ** (round(cells * math.log10(value)) / cells):.3g}")


@dataclass(frozen=True)
class Ground:
    """A start after its range stage: what is searched, what is known to begin with, and the table of its trials."""

    start: Start
    setup: Setup
    axes: Mapping[str, BaseDistribution]
    hints: Sequence[Params]
    known_good: Params
    table: Table

    @property
    def today(self) -> Params:
        """Today's settings."""
        return self.setup.inspection.today.params

    @property
    def finish(self) -> Callable[[Params], Params]:
        """How preflight rounds a proposal to what can be written."""
        return lambda params: rounded(params, self.setup.inspection.today)

    def at_the_end(self, params: Params) -> dict[int, float]:
        """Scores by judging seed of whole runs to the horizon; infinite for one that was lost."""
        horizon = self.start.task.horizon_steps
        runs = {seed: self.table.of(params, seed, horizon, 1) for seed in JUDGING_SEEDS}
        return {seed: run["score"] if run["status"] == COMPLETED else math.inf for seed, run in runs.items()}


def ground(start: Start, best_lr: float, folder: Path, *overrides: str) -> Ground:
    """Inspect the start and climb its ladders, as a run of preflight does before it explores."""
    settings = settings_of(start, best_lr, f"run_dir={folder / 'run'}", *overrides)
    setup = set_up(settings)
    lab = setup.lab(folder / "ladders")
    engine, audience = Inline(lab), Nobody()
    ladders = Ladders(engine, lab.run_dir, setup.inspection, settings.budget, settings.seed, audience)
    bounds = ladders.bounds(free_normalizations(settings.space, setup.inspection))
    axes = searched(settings.space, setup.inspection, setup.task, bounds)
    known_good = setup.inspection.today.params.with_values(start.known_good(best_lr))
    table = Table(store.create_folder(folder) / "trials.jsonl", setup.lab(folder / "lab"))
    return Ground(start, setup, axes, ladders.hints(), known_good, table)
