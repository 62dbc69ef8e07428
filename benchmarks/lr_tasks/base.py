"""A task of which only the learning rate is to be chosen: model, data, losses, optimizer, schedule, horizon."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

Batch = dict[str, Tensor]
Loss = Callable[[Any, Any], Tensor]
# Half-decade steps, two or more beyond what any of the tasks trains with.
GRID = tuple(float(f"{10 ** (half / 2):.1g}") for half in range(-10, 3))


@dataclass(frozen=True)
class NamedLoss:
    """``weight * function(output, target)``; the names pick entries where there are several."""

    name: str
    function: Loss
    weight: float = 1.0
    output: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class LrTask:
    """``model()`` and ``data() -> (train, validation)``, mappings of tensors, are built anew by every caller.

    ``optimizer(groups, lr=...)`` is the one that the task states. ``schedule`` is ``constant``, ``cosine`` or
    ``linear`` after a linear warmup over ``warmup_fraction`` of the run. ``fields`` are what a user tells preflight.
    """

    name: str
    model: Callable[[], nn.Module]
    data: Callable[[], tuple[Batch, Batch]]
    losses: tuple[NamedLoss, ...]
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    optimizer: Callable[..., torch.optim.Optimizer]
    batch_size: int
    horizon_steps: int
    truth_seeds: int = 5
    schedule: str = "constant"
    warmup_fraction: float = 0.0
    clip_norm: float | None = None
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def split(self) -> tuple[Batch, Batch]:
        """The data, built once."""
        return self.data()

    def criterion(self, output: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss that is trained and judged: the weighted sum of all."""
        target = _only(batch, self.targets)
        parts = [
            item.weight
            * item.function(
                output if item.output is None else output[item.output],
                target if item.target is None else batch[item.target],
            )
            for item in self.losses
        ]
        return torch.stack(parts).sum()

    def factor(self, step: int, steps: int) -> float:
        """Share of the peak learning rate at ``step`` (from 0) of a run of ``steps``."""
        warmup = round(self.warmup_fraction * steps)
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, steps - warmup)
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        return 1 - progress if self.schedule == "linear" else 1.0


def _only(batch: Mapping[str, Tensor], names: tuple[str, ...]) -> Any:
    return batch[names[0]] if len(names) == 1 else {name: batch[name] for name in names}
