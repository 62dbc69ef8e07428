"""A case's settings against each other on seeds that no run of preflight has seen: today's, ours, its owner's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.cases import RECALLED, Case, Fix
from preflight.advise.evidence import Effect, effect
from preflight.advise.recommendation import Recommendation
from preflight.core.params import Params
from preflight.core.settings import load
from preflight.pipeline.inspection import inspect_task, open_file, open_task
from preflight.tasks.schedules import own_curves
from preflight.telemetry import store
from preflight.telemetry.recording import Run
from preflight.trials.lab import Lab, TrialSpec

TODAY, OURS = "today's settings", "config_fixed.yaml"
FIRST_SEED = 9001  # preflight counts its own from the run's seed
EVALUATIONS = 20


@dataclass(frozen=True)
class Contender:
    """Score and metric by seed of one way to train, and its effect on the score beside today's settings.

    ``curves`` are ``[(step, score), ...]`` by seed, in steps at today's batch size.
    """

    name: str
    scores: Mapping[int, float]
    metrics: Mapping[int, float]
    curves: Mapping[int, list[tuple[float, float]]]
    effect: Effect | None = None


def contest(case: Case, run_dir: Path, folder: Path, seeds: int) -> list[Contender]:
    """Train today's settings, those that the run recommends, and every fix of the owner's, ``seeds`` times each."""
    run = Run.open(run_dir)
    answer = Recommendation.from_dict(run.document(store.RECOMMENDATION))
    found = [
        _trained(run, answer, fix, params, folder / f"{index}", seeds)
        for index, (fix, params) in enumerate(_entries(case, answer))
    ]
    return [
        replace(item, effect=effect(found[0].scores, item.scores, max(1, len(found) - 1)) if index else None)
        for index, item in enumerate(found)
    ]


def _entries(case: Case, answer: Recommendation) -> Iterator[tuple[Fix, Params]]:
    yield Fix(TODAY), answer.today
    if answer.recommended.key() != answer.today.key():
        yield Fix(OURS), answer.recommended
    for fix in case.fixes:
        yield fix, answer.today.with_values(fix.settings)


def _trained(run: Run, answer: Recommendation, fix: Fix, params: Params, folder: Path, seeds: int) -> Contender:
    lab = _lab(run, answer, fix, folder)
    numbers = range(FIRST_SEED, FIRST_SEED + seeds)
    steps = answer.steps or int(run.document(store.INSPECTION)["length"]["horizon_steps"])
    results = {
        seed: lab.run(TrialSpec("contest", index, params, seed, steps, EVALUATIONS))
        for index, seed in enumerate(numbers)
    }
    return Contender(
        fix.name,
        {seed: result.confirmed for seed, result in results.items()},
        {seed: result.metric for seed, result in results.items()},
        dict(zip(numbers, _curves(folder, answer.today.batch_size), strict=True)),
    )


def _lab(run: Run, answer: Recommendation, fix: Fix, folder: Path) -> Lab:
    """The task with the owner's change, scored by the references of the run, as all others are."""
    settings = load([f"+model={run.info['model']}", "budget=quick", *fix.overrides])
    task = open_task(settings)
    inspection = inspect_task(settings, task, open_file(settings))
    task.normalizers |= {(name, RECALLED): config for name, config in fix.normalizers.items()}
    return Lab(
        task,
        store.create_folder(folder),
        run.document(store.INSPECTION)["references"],
        answer.today.batch_size,
        settings.budget.validation_samples,
        curves=own_curves(task, inspection.today.params, inspection.today.length),
    )


def _curves(folder: Path, batch_size: int) -> list[list[tuple[float, float]]]:
    """Validation score by step of every run in the folder."""
    found = []
    for recording in Run(folder, {}).recordings():
        losses: Any = recording.losses
        scores = losses["val_score"].dropna()
        steps = losses["step"][scores.index] * recording.params.batch_size / batch_size
        found.append([(float(step), float(score)) for step, score in zip(steps, scores, strict=True)])
    return found
