"""A user's own training loop with a bad habit, recorded from beside it.

Faults of a loop cannot be shown by preflight's, which does not have them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from preflight.core.params import Params
from preflight.tasks.base import Job
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded
from preflight.telemetry import store
from preflight.telemetry.loop import LoopWatch
from preflight.telemetry.recorder import Cadence, Recorder
from preflight.telemetry.tables import Frame, write_telemetry
from preflight.trials.batch_order import steps_per_epoch
from preflight.trials.evaluation import Evaluation, evaluate
from preflight.trials.loop import rungs


@dataclass(frozen=True)
class Habits:
    """What a loop does; the defaults are right.

    ``accumulate`` micro-batches make an optimizer step. ``scheduler_per_micro_batch`` advances the schedule with
    each of them. ``metrics`` says what is written down of a validation: ``measured``, ``zeros``, or those of a
    ``stale`` copy of the model.
    """

    zero_grad: bool = True
    eval_mode: bool = True
    train_mode_again: bool = True
    scheduler_per_micro_batch: bool = False
    accumulate: int = 1
    metrics: str = "measured"


def run_loop(
    task: PyTorchTask,
    habits: Habits,
    params: Params,
    seed: int,
    steps: int,
    references: Mapping[str, float],
    folder: Path,
    evaluations: int = 5,
    samples: int = 1000,
) -> float:
    """Train as ``habits`` have it, write a trial's folder, and give the last validation score as it truly is."""
    with seeded(seed, task.device):
        job = task.job(params)
        scheduler = task.scheduler(job.optimizer)
        batches = task.batches(params, seed)
        recorder = Recorder(job.parameters, job.components, [loss.name for loss in job.losses], Cadence(), job.head)
        watch = LoopWatch(job.network, [item for _, item in job.parameters], job.optimizer)
        stale = replace(job, network=copy.deepcopy(job.network)) if habits.metrics == "stale" else job
        found: dict[int, dict[str, float]] = {}
        job.network.train()
        for step in range(steps):
            if habits.zero_grad:
                job.optimizer.zero_grad(set_to_none=True)
            rates = [float(group["lr"]) for group in job.optimizer.param_groups]
            for _ in range(habits.accumulate):
                total, parts = _backward(job, task, next(batches), habits)
                if scheduler is not None and habits.scheduler_per_micro_batch:
                    scheduler.step()
            recorder.gradients(total, parts, rates)
            if params.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_([item for _, item in job.parameters], params.clip_norm)
            job.optimizer.step()
            recorder.updated()
            if scheduler is not None and not habits.scheduler_per_micro_batch:
                scheduler.step()
            if recorder.full or step + 1 == steps:
                recorder.flush()
            if step + 1 in rungs(steps, evaluations):
                seen = _validate(stale, task, habits, references, samples)
                found[step] = {name: 0.0 if habits.metrics == "zeros" else value for name, value in seen.items()}
        watch.close()
        truth = evaluate(job, task, references, samples, params.batch_size)
    _write(task, params, seed, steps, recorder, found, truth, watch.facts(), folder)
    return truth.score


def _backward(
    job: Job, task: PyTorchTask, batch: dict[str, torch.Tensor], habits: Habits
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    output = job.outputs(batch)
    targets = {name: batch[name] for name in task.data.roles.targets}
    parts = [loss(output, targets) for loss in job.losses]
    weights = [float(job.params.loss_weights.get(loss.name, 1.0)) for loss in job.losses]
    total = torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum()
    (total / habits.accumulate).backward()
    return total, parts


def _validate(
    job: Job, task: PyTorchTask, habits: Habits, references: Mapping[str, float], samples: int
) -> dict[str, float]:
    """The ``val_`` columns as the loop would log them; the model is left in the mode that it leaves it in."""
    if habits.eval_mode:
        job.network.train(habits.train_mode_again)  # `evaluate` switches to evaluation mode and back to this
        return evaluate(job, task, references, samples, job.params.batch_size).columns()
    switch = job.network.eval
    job.network.eval = lambda: job.network  # type: ignore[method-assign]  # the call that was forgotten
    try:
        return evaluate(job, task, references, samples, job.params.batch_size).columns()
    finally:
        job.network.eval = switch  # type: ignore[method-assign]  # as it was


def _write(
    task: PyTorchTask,
    params: Params,
    seed: int,
    steps: int,
    recorder: Recorder,
    found: dict[int, dict[str, float]],
    truth: Evaluation,
    facts: Mapping[str, Any],
    folder: Path,
) -> None:
    folder.mkdir(parents=True)
    frame = Frame(steps_per_epoch(task.data, params.batch_size), recorder.cadence.deltas_every_steps, task.head, found)
    tables = write_telemetry(folder, recorder.history(), recorder.layout, frame)
    last = found[max(found)]
    info = {
        "purpose": "confirm",  # what the harness reads back
        "index": seed,
        "params": asdict(params),
        "seed": seed,
        "steps": steps,
        "steps_done": steps,
        "schedule": task.schedule,
        "deltas_every_steps": recorder.cadence.deltas_every_steps,
        "outcome": {"status": "completed"},
        "score": last["val_score"],
        "penalized_score": truth.score,
        "metric": last["val_metric"],
        "losses": {name[4:]: value for name, value in last.items() if name not in ("val_score", "val_metric")},
        "device": str(task.device),
        "tables": tables,
    }
    store.write_json(folder / store.TRIAL, info)
    store.write_json(folder / store.FACTS, facts)
