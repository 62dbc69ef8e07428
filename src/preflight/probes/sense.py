"""Losses that no training can be judged by: the same whatever the output, without end, or solved by a constant."""

from __future__ import annotations

import math
from typing import Any

import torch

from preflight.core.errors import TaskError
from preflight.probes.constant import (
    SEED,
    Constant,
    Tie,
    answers_of,
    free,
    in_batches,
    on_constant,
    starting_points,
    value_of,
)
from preflight.tasks.base import NamedLoss
from preflight.tasks.data import Batch
from preflight.tasks.outputs import replaced, tensors_of
from preflight.tasks.seeding import seeded

ENDLESS = 1e6
"""Times its size at a zero output a loss lies below zero at a far one: no loss that is meant so does."""
FAR = 1e12
SATISFIED = 1e-6
"""Share of an ordinary constant's loss that is as good as none: beyond the resolution of float32."""
SCALES = (1.0, 1e4, 1e8, 1e12)


def check_sense(losses: tuple[NamedLoss, ...], output: Any, targets: Batch) -> None:
    """Raises :class:`TaskError` for a loss that no output changes; ``output`` is the model's on the targets' batch."""
    for loss in losses:
        chosen = output if loss.output is None else output[loss.output]
        tensors = {key: item.detach() for key, item in tensors_of(chosen).items() if item.is_floating_point()}
        if not tensors:
            continue
        values = _values(loss, chosen, tensors, targets)
        if len(values) == 1 and math.isfinite(value := next(iter(values))):
            raise TaskError(
                f"the loss '{loss.name}' is {value:g} whatever the model answers: there is nothing to learn from it; "
                f"see that its function ({_named(loss)}) uses the output"
            )


def falls_without_end(loss: NamedLoss, output: Any, targets: Batch) -> bool:
    """Whether a constant output, moved far along the gradient, brings a loss far below zero."""
    chosen = output if loss.output is None else output[loss.output]
    zeros = {key: torch.zeros_like(item[0]) for key, item in answers_of(chosen).items() if item.is_floating_point()}
    objective = on_constant(loss, chosen, targets)
    leaves = {key: item.requires_grad_() for key, item in zeros.items()}
    try:
        with torch.enable_grad():
            begin = objective(leaves)
            slopes = torch.autograd.grad(begin, list(leaves.values()), allow_unused=True)
    except Exception:  # the user's loss may refuse a constant
        return False
    size = math.sqrt(sum(float(slope.square().sum()) for slope in slopes if slope is not None))
    if not 0 < size < math.inf:
        return False
    far = {
        key: item.detach() - (0 if slope is None else FAR / size * slope)
        for (key, item), slope in zip(leaves.items(), slopes, strict=True)
    }
    return value_of(objective, far) < -ENDLESS * max(1.0, abs(float(begin.detach())))


def within_reach(
    loss: NamedLoss, output: Any, targets: Batch, batch_size: int, constant: float, tie: Tie = free
) -> float:
    """What a network gets that ignores its input: the best ``constant``, or an ordinary one where that leaves nothing.

    A constant that satisfies a loss which ordinary ones (zeros, the model's mean) do not lies out of what the model can
    give: cosines do not exceed one.
    """
    chosen = output if loss.output is None else output[loss.output]
    measured = in_batches(loss, chosen, targets, batch_size, tie=tie)
    found = [value_of(measured, point) for point in starting_points(chosen, loss, targets)]
    lowest = min((value for value in found if math.isfinite(value)), default=0.0)
    return lowest if abs(constant) < SATISFIED * lowest else constant


def _values(loss: NamedLoss, chosen: Any, tensors: Constant, targets: Batch) -> set[float]:
    """Values with the model's own output, with none, and with noise: of targets of 1e8 a loss sees no less."""
    picked = NamedLoss(loss.name, loss.function, None, loss.target)
    found = set()
    with seeded(SEED, next(iter(tensors.values())).device):
        noisy = (
            {key: item + scale * (1 + item.abs().mean()) * torch.randn_like(item) for key, item in tensors.items()}
            for scale in SCALES
        )
        for change in (tensors, {key: torch.zeros_like(item) for key, item in tensors.items()}, *noisy):
            found.add(value_of(lambda given: picked(replaced(given, chosen), targets), change))
    return found


def _named(loss: NamedLoss) -> str:
    return str(getattr(loss.function, "__name__", type(loss.function).__name__))
