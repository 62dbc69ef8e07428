"""The plain loop that measures the truth, and trains for every peer that brings no loop of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.lr_tasks.base import Batch, LrTask
from preflight.tasks.seeding import seeded

CPU = torch.device("cpu")
EVALUATED_AT_ONCE = 1000
# Looking at the loss of every step would wait for it.
LOOKED_AT_EVERY_STEPS = 25


@dataclass
class Steps:
    """Optimizer steps of anybody's, counted while :func:`counted` is open."""

    done: int = 0


@contextmanager
def counted() -> Iterator[Steps]:
    """Count the steps of every optimizer of torch, whoever takes them."""
    steps = Steps()

    def count(*_: Any) -> None:
        steps.done += 1

    handle = register_optimizer_step_post_hook(count)
    try:
        yield steps
    finally:
        handle.remove()


def batches(task: LrTask, seed: int) -> Iterator[Batch]:
    """Shuffled batches without end; the last of an epoch may be short."""
    train, _ = task.split
    size = len(next(iter(train.values())))
    generator = torch.Generator().manual_seed(seed)
    while True:
        for indices in torch.randperm(size, generator=generator).split(task.batch_size):
            yield {name: values[indices] for name, values in train.items()}


def train(task: LrTask, lr: float, seed: int, steps: int | None = None) -> float:
    """Validation loss at the end of ``steps`` (the horizon), the whole schedule inside; infinite if it diverged."""
    return train_with(task, lambda parameters: task.optimizer(parameters, lr=lr), seed, steps)


def train_with(
    task: LrTask,
    optimizer_of: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
    seed: int,
    steps: int | None = None,
    scheduled: bool = True,
) -> float:
    """As :func:`train`, with any optimizer; a schedule-free one follows none, and is switched as its manual says."""
    steps = task.horizon_steps if steps is None else steps
    with seeded(seed, CPU):
        model = task.model()
        optimizer = optimizer_of(model.parameters())
        rates = [group["lr"] for group in optimizer.param_groups]
        switch = getattr(optimizer, "train", None), getattr(optimizer, "eval", None)
        _call(switch[0])
        source = batches(task, seed)
        for step in range(steps):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                if scheduled:
                    group["lr"] = rate * task.factor(step, steps)
            loss = _step(task, model, optimizer, next(source))
            if step % LOOKED_AT_EVERY_STEPS == 0 and not math.isfinite(loss.item()):
                return math.inf
        _call(switch[1])
        return evaluate(task, model)


def _call(switch: Callable[[], None] | None) -> None:
    if switch is not None:
        switch()


def _step(task: LrTask, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    loss = task.criterion(model(*(batch[name] for name in task.inputs)), batch)
    loss.backward()
    if task.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), task.clip_norm)
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def evaluate(task: LrTask, model: nn.Module) -> float:
    """Loss over the whole validation split, a mean over its samples; infinite where it is not finite."""
    _, validation = task.split
    size = len(next(iter(validation.values())))
    model.eval()
    total = 0.0
    for indices in torch.arange(size).split(EVALUATED_AT_ONCE):
        batch = {name: values[indices] for name, values in validation.items()}
        total += len(indices) * task.criterion(model(*(batch[name] for name in task.inputs)), batch).item()
    value = total / size
    return value if math.isfinite(value) else math.inf
