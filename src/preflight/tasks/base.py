"""The contract between a user's training and everything that runs it: a Task builds Jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from preflight.core.params import Params
from preflight.tasks.data import Batch, Data
from preflight.tasks.target_normalizer import TargetNormalizer

Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class NamedLoss:
    """A loss and which entries of the model's output and of the targets it takes (None: all of it)."""

    name: str
    function: Loss
    output: str | None = None
    target: str | None = None
    normalizer: TargetNormalizer | None = None
    """Of its target, where it is trained in other units than the target's own."""

    def __call__(self, output: Any, targets: Batch) -> Tensor:
        """Scalar loss, mean over the batch, of ``output`` and ``targets`` (one field alone is passed as a tensor).

        Both come in the target's own units.
        """
        chosen = output if self.output is None else self._picked(output)
        wanted = pick_target(targets, self.target)
        if self.normalizer is not None:
            chosen, wanted = self.normalizer(chosen), self.normalizer(wanted)
        return self.function(chosen, wanted)

    def _picked(self, output: Any) -> Any:
        if not isinstance(output, Mapping):
            raise TypeError(f"the output is a {type(output).__name__} and no mapping: it has no '{self.output}'")
        return output[self.output]


def pick_target(targets: Batch, name: str | None) -> Any:
    """One named target, the only one there is, or all of them as a mapping."""
    if name is not None:
        return targets[name]
    return next(iter(targets.values())) if len(targets) == 1 else targets


@dataclass
class Job:
    """Everything one training run needs; built fresh for every trial, on its device."""

    network: nn.Module
    """Takes a batch, normalizes its inputs and calls the user's model."""
    parameters: list[tuple[str, nn.Parameter]]
    """Trained parameters by the names they have in the user's model."""
    components: Mapping[str, str]
    """Component of every parameter."""
    head: Tensor | None
    """Weight matrix of the head, where the task names one."""
    optimizer: torch.optim.Optimizer
    lr_ratios: list[float]
    """Learning rate of each parameter group relative to ``Params.lr``."""
    losses: tuple[NamedLoss, ...]
    """As they are trained: those of a normalized target in its deviations, unlike the task's own."""
    params: Params
    device: torch.device

    def outputs(self, batch: Batch) -> Any:
        """What the user's model makes of a batch, in the targets' own units."""
        return self.network(batch)


class Task(Protocol):
    """What is trained, independent of the settings it is trained with."""

    name: str
    data: Data
    losses: tuple[NamedLoss, ...]
    device: torch.device
    head: str | None
    schedule: str
    scheduler_interval: str

    def job(self, params: Params) -> Job:
        """Model, optimizer and losses for ``params``, from the current random state."""

    def scheduler(self, optimizer: torch.optim.Optimizer) -> LRScheduler | None:
        """The user's own scheduler for ``optimizer``, advanced once per ``scheduler_interval``; None without one."""

    @property
    def has_metric(self) -> bool:
        """Whether outputs have to be kept for a metric."""

    def metric(self, output: Any, targets: Batch) -> float:
        """The task's metric over the given samples, in its own units; NaN where it has none."""

    def batches(self, params: Params, seed: int) -> Iterator[Batch]:
        """Training batches without end, an epoch after the other, in the order that ``seed`` gives."""
