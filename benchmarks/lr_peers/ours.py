"""preflight, asked as a user asks for this alone: only the learning rate is searched, `budget=quick`."""

from __future__ import annotations

import shutil
from typing import Any

import preflight
from benchmarks.lr_peers.base import Answers, Question
from benchmarks.lr_tasks.base import LrTask
from benchmarks.lr_verdict import OURS, Suggestion
from preflight.telemetry import store
from preflight.telemetry.recording import Run

# Today's rate is wrong, or nobody would ask: by the seed, so many times the best one.
STARTS = (0.03, 30.0)
OVERRIDES = ("space=lr", "space.warmup_fraction=keep", "budget=quick", "threads=1")


def ours(question: Question) -> Answers:
    """The recommended rate, which is today's where the settings are to stay; every step of every run is counted."""
    task, folder = question.task, question.folder / "run"
    start = float(f"{STARTS[question.seed % len(STARTS)] * question.truth.best_lr:.2g}")
    if not (folder / store.RECOMMENDATION).is_file():
        shutil.rmtree(folder, ignore_errors=True)  # cut off
        tune(task, start, [*OVERRIDES, f"seed={question.seed}", f"run_dir={folder}"])
    answer: Any = store.read_json(folder / store.RECOMMENDATION)
    return {OURS: Suggestion(float(answer["recommended"]["lr"]), steps_of(Run.open(folder)), start=start)}


def tune(task: LrTask, lr: float, overrides: list[str]) -> preflight.Answer:
    """A run of preflight on the task with ``lr`` as today's."""
    losses: dict[str, Any] = {
        item.name: {"function": item.function, "output": item.output, "target": item.target} for item in task.losses
    }
    return preflight.tune(
        task.model,
        task.data,
        losses,
        baseline={
            "lr": lr,
            "batch_size": task.batch_size,
            "warmup_fraction": task.warmup_fraction,
            "clip_norm": task.clip_norm,
            **{f"loss_weights.{item.name}": item.weight for item in task.losses},
        },
        horizon_steps=task.horizon_steps,
        inputs=task.inputs,
        targets=task.targets,
        optimizer=task.optimizer,
        schedule=task.schedule,
        fields=task.fields,
        name=task.name,
        overrides=overrides,
    )


def steps_of(run: Run) -> int:
    """Optimizer steps of all its trials, as they were recorded."""
    return sum(int(item.info["steps_done"]) for item in run.recordings())
