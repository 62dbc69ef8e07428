"""What the optimizer makes of a gradient's size, told by a step of it and not by its name."""

from __future__ import annotations

from typing import Any

import torch

from preflight.core.params import Params
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

WEAK = 1e-3
"""Share of a gradient that an optimizer which scales its steps answers as it does the whole."""
SAME = 10.0
"""Times: SGD's steps differ by 1000 then, but for what weight decay adds; Adam's are alike."""


def look_at_optimizer(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """Fact ``optimizer``: ``{name, scales_steps}``: its class, and whether each step has a size of its own, whatever
    the gradient's (Adam, Lion). Empty where it takes no ordinary step.
    """
    try:
        (name, strong), (_, weak) = (_first_step(task, params, seed, size) for size in (1.0, WEAK))
    except (RuntimeError, TypeError, ValueError):  # one that wants a closure, or sparse gradients
        return {}
    return {"optimizer": {"name": name, "scales_steps": weak > 0 and strong / weak < SAME}}


@torch.no_grad()
def _first_step(task: PyTorchTask, params: Params, seed: int, size: float) -> tuple[str, float]:
    """The optimizer's class, and how far a step moves all weights where every value has a gradient of ``size``."""
    with seeded(seed, task.device):
        job = task.job(params)
        before = [item.clone() for _, item in job.parameters]
        for _, item in job.parameters:
            item.grad = torch.full_like(item, size)
        job.optimizer.step()
        moved = (item - old for (_, item), old in zip(job.parameters, before, strict=True))
        way = float(torch.stack([change.abs().double().sum() for change in moved]).sum())
        return type(job.optimizer).__name__, way
