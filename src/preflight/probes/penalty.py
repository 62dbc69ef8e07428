"""Is a loss a penalty: one that asks nothing of the data?"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from preflight.probes.constant import (
    SEED,
    Constant,
    Objective,
    Tie,
    answers_of,
    fit,
    free,
    on_constant,
    starting_points,
    value_of,
)
from preflight.tasks.base import NamedLoss
from preflight.tasks.data import Batch
from preflight.tasks.outputs import mapped, replaced, tensors_of
from preflight.tasks.seeding import seeded

SAMPLES = 256
"""Samples whose outputs are fitted one by one."""
BETTER = 0.01
"""Of the way from the model's own output to the best constant: as much must outputs of their own gain on it."""


def is_penalty(loss: NamedLoss, output: Any, targets: Batch, tie: Tie = free) -> bool:
    """Whether a loss asks nothing of the data: targets do not enter, and a constant output satisfies it like any other.

    So does a divergence from a prior, or a decay of activations. One that compares samples, as contrastive losses do,
    ignores the targets as well, and gains by outputs that differ.
    """
    lengths = [len(item) for item in tensors_of(output).values() if item.ndim]
    size = min(SAMPLES, len(next(iter(targets.values()))), *lengths)
    chosen = output if loss.output is None else output[loss.output]
    some = {name: target[:size] for name, target in targets.items()}
    chosen = mapped(chosen, lambda item: item[:size] if item.ndim else item)
    every = {key: item.detach().float() for key, item in answers_of(chosen).items()}
    if not every or takes_targets(loss, chosen, some):
        return False
    with seeded(SEED, next(iter(every.values())).device):
        own = value_of(_each(loss, chosen, some), every)
        same = on_constant(loss, chosen, some, tie)
        constants = [fit(same, start) for start in starting_points(chosen, loss, some)]
        constant = min((value_of(same, item) for item in constants), key=_finite_first)
        single = value_of(_each(loss, chosen, some), fit(_each(loss, chosen, some), every))
    return math.isfinite(constant) and not single < constant - BETTER * max(0.0, own - constant) - 1e-6 * abs(constant)


def _finite_first(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def takes_targets(loss: NamedLoss, output: Any, targets: Batch) -> bool:
    """Whether another sample's targets, or none, give another value."""
    values = {value_of(_each(loss, output, given), tensors_of(output)) for given in _altered(targets)}
    return len(values) != 1 or not math.isfinite(next(iter(values)))


def _altered(targets: Batch) -> list[Batch]:
    """As they are, each with the one before it, and all with the first one's."""
    rolled = {name: target.roll(1, dims=0) for name, target in targets.items()}
    same = {name: target[:1].expand_as(target).contiguous() for name, target in targets.items()}
    return [targets, rolled, same]


def _each(loss: NamedLoss, output: Any, targets: Batch) -> Objective:
    """A loss of outputs of their own for every sample, in the structure of ``output``."""
    picked = NamedLoss(loss.name, loss.function, None, loss.target)

    def objective(values: Constant) -> Tensor:
        return picked(replaced(values, output), targets)

    return objective
