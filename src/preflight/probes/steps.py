"""Optimizer steps as a trial takes them, for probes that train briefly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from preflight.tasks.base import Job
from preflight.tasks.data import Batch
from preflight.tasks.pytorch import PyTorchTask


def weights_of(job: Job) -> dict[str, float]:
    """Weight of every loss."""
    return {loss.name: float(job.params.loss_weights.get(loss.name, 1.0)) for loss in job.losses}


def targets_of(task: PyTorchTask, batch: Batch) -> Batch:
    """Fields of ``batch`` that losses take."""
    return {name: batch[name] for name in task.data.roles.targets}


def weighted(job: Job, output: Any, targets: Batch) -> Tensor:
    """What is trained on: the weighted sum of the losses."""
    weights = weights_of(job)
    parts = (weights[loss.name] * loss(output, targets) for loss in job.losses)
    return sum(parts, start=torch.zeros((), device=job.device))


def train_briefly(job: Job, task: PyTorchTask, batches: Iterator[Batch], steps: int) -> bool:
    """Train so many steps at today's peak learning rate; whether the losses stayed finite."""
    for _ in range(steps):
        batch = next(batches)
        if not math.isfinite(one_step(job, batch, targets_of(task, batch))):
            return False
    return True


def one_step(job: Job, inputs: Batch, targets: Batch) -> float:
    """One optimizer step; the weighted loss before it."""
    job.optimizer.zero_grad(set_to_none=True)
    total = weighted(job, job.outputs(inputs), targets)
    total.backward()
    if job.params.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_([item for _, item in job.parameters], job.params.clip_norm)
    job.optimizer.step()
    return float(total.detach())
