"""One training step of a job, as probes take it to measure what it costs."""

from __future__ import annotations

import torch
from torch import Tensor

from preflight.tasks.base import Job
from preflight.tasks.data import Batch
from preflight.tasks.pytorch import PyTorchTask


def weighted_loss(job: Job, task: PyTorchTask, batch: Batch) -> Tensor:
    """Scalar that is trained on."""
    output = job.outputs(batch)
    targets = {name: batch[name] for name in task.data.roles.targets}
    weights = job.params.loss_weights
    return torch.stack([weights.get(loss.name, 1.0) * loss(output, targets) for loss in job.losses]).sum()


def take_step(job: Job, task: PyTorchTask, batch: Batch) -> None:
    """Forward, backward and the optimizer's step, in training mode; the job's own model changes."""
    job.network.train()
    job.optimizer.zero_grad(set_to_none=True)
    weighted_loss(job, task, batch).backward()
    job.optimizer.step()


def wait_for(device: torch.device) -> None:
    """Wait until an accelerator has done all that it was told to."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize(device)
