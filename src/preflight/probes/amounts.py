"""Which targets are amounts and which are classes: whole numbers may be either, and the losses tell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributions import Distribution

from preflight.core.params import Params
from preflight.probes.untouched import untouched
from preflight.tasks.base import NamedLoss, Task
from preflight.tasks.data import Batch, is_numeric, spread
from preflight.tasks.outputs import replaced, tensors_of
from preflight.tasks.seeding import seeded

SAMPLES = 64
BETWEEN = (0.1, 0.4)
"""Added to whole numbers: no rounding, cutting off, or comparing with a whole number tells these two apart."""
LARGEST = 1000
"""Size to which whole numbers are cut, so that float32 holds what is added to them."""
SAME = 1e-6
MOVED = 0.5


def amounts(task: Task, params: Params, seed: int) -> frozenset[str]:
    """Names of the targets that are amounts: floats, and whole numbers whose losses measure how far off they are.

    Such a loss has another value for what lies between two whole numbers; one that compares, counts or looks up
    classes has not, or refuses that. Two different values alone are classes: both views of them are one. Where the
    model fails, the dtype tells (see :func:`preflight.tasks.data.is_numeric`).
    """
    source, names = task.data.train, task.data.roles.targets
    batch = source.batch(spread(len(source), max(SAMPLES, params.batch_size)))
    asked = [name for name in names if not batch[name].is_floating_point() and len(batch[name].unique()) > 2]
    told: dict[str, bool] = {}
    if asked:
        few = {name: tensor[: params.batch_size] for name, tensor in batch.items()}
        with seeded(seed, task.device):
            output = _output(task, params, few)
        if output is not None:
            told = {name: _is_measured(task, seed, output, few, name) for name in asked}
    return frozenset(name for name in names if told.get(name, is_numeric(batch[name])))


def _output(task: Task, params: Params, batch: Batch) -> Any:
    """The model's; None where it fails, which is said elsewhere."""
    job = task.job(params)
    try:
        with untouched(job.network), torch.no_grad():
            return job.outputs(batch)
    except Exception:  # the user's model
        return None


def _is_measured(task: Task, seed: int, output: Any, batch: Batch, name: str) -> bool:
    """Whether a loss tells between-values of a target apart, and none refuses them.

    A likelihood may not depend on the target where the output is zero, so another output is tried as well.
    """
    targets = {target: batch[target] for target in task.data.roles.targets}
    sides = [{**targets, name: targets[name].float().clamp(-LARGEST, LARGEST) + step} for step in BETWEEN]
    tensors = {key: item for key, item in tensors_of(output).items() if item.is_floating_point()}
    outputs = output, replaced({key: item + MOVED for key, item in tensors.items()}, output)
    pairs = [
        [_value(task, seed, loss, given, side) for side in sides]
        for loss in task.losses
        if loss.target in (None, name)
        for given in outputs
    ]
    # The other output may lie out of a loss's range, the model's own does not.
    if any(math.isnan(value) for pair in pairs[::2] for value in pair):
        return False
    return any(not math.isclose(*pair, rel_tol=SAME) for pair in pairs if all(map(math.isfinite, pair)))


def _value(task: Task, seed: int, loss: NamedLoss, output: Any, targets: Batch) -> float:
    """NaN where the loss refuses the targets."""
    try:
        with seeded(seed, task.device), _unvalidated(), torch.no_grad():
            return float(loss(output, targets))
    except Exception:  # the user's loss
        return math.nan


@contextmanager
def _unvalidated() -> Iterator[None]:
    """A distribution of counts refuses numbers between them, but is one of amounts."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)
