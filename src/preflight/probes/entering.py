"""Which targets enter the value of a loss or of the metric: a placeholder may be there because one has to be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from preflight.core.params import Params
from preflight.probes.untouched import untouched
from preflight.tasks.base import Task
from preflight.tasks.data import Batch, spread
from preflight.tasks.outputs import mapped
from preflight.tasks.seeding import seeded


def entering(task: Task, params: Params, seed: int) -> frozenset[str]:
    """Names of the targets of which other values give a loss or the metric another one, or are refused.

    They are exchanged, zeroed and moved, with the model's output and with a random one: a margin that is kept asks
    for nothing. All targets where the model fails.
    """
    source, names = task.data.train, task.data.roles.targets
    with seeded(seed, task.device), torch.no_grad():
        batch = source.batch(spread(len(source), params.batch_size))
        job = task.job(params)
        try:
            with untouched(job.network):
                output = job.outputs(batch)
            outputs = output, mapped(output, _random)
        except Exception:  # the user's model
            return frozenset(names)
    targets = {name: batch[name] for name in names}
    return frozenset(
        name
        for name in names
        if any(
            _differs(value, targets, [{**targets, name: item} for item in _altered(targets[name])])
            for output in outputs
            for value in _values(task, seed, output)
        )
    )


def _random(item: Tensor) -> Tensor:
    return item + (1 + item.abs()) * torch.randn_like(item) if item.is_floating_point() else item


def _altered(target: Tensor) -> list[Tensor]:
    moved = ~target if target.dtype == torch.bool else target + 1
    return [target.roll(1, dims=0), torch.zeros_like(target), moved]


def _values(task: Task, seed: int, output: Any) -> list[Callable[[Batch], float]]:
    """Every loss, and the metric where there is one, as a function of the targets."""

    def asked(function: Callable[[Any, Batch], Any]) -> Callable[[Batch], float]:
        def value(targets: Batch) -> float:
            with seeded(seed, task.device), torch.no_grad():
                return float(function(output, targets))

        return value

    losses = [asked(loss) for loss in task.losses]
    return [*losses, asked(task.metric)] if task.has_metric else losses


def _differs(value: Callable[[Batch], float], targets: Batch, others: list[Batch]) -> bool:
    """Whether other targets give another value, or the user's function refuses any of them."""
    try:
        known = value(targets)
        return math.isnan(known) or any(value(other) != known for other in others)
    except Exception:  # the user's loss or metric
        return True
