"""Which numbers of an output one part of the network makes: where the input is ignored, they cannot differ."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from preflight.core.params import Params
from preflight.probes.constant import SEED, Constant, Tie, answers_of
from preflight.probes.penalty import takes_targets
from preflight.tasks.base import Job
from preflight.tasks.data import Batch
from preflight.tasks.outputs import Path, mapped, tensors_of
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

DRAWS = 16
"""Weights that are drawn: numbers which are equal for all of them are so by the structure of the network."""
INSIDE = 2
"""Draws in which a number lies off the ends of its range: where a ReLU ends a head, half of all are zero by chance."""
SAME = 1e-5
"""Of the largest number: rows of one matrix product differ by less, and different units by more."""
MAX_VALUES = 2**20


@dataclass(frozen=True)
class Shared:
    """Numbers of an output without its batch axis by the ``groups`` that are the same for all weights."""

    groups: Tensor
    shapes: Mapping[Path, torch.Size]

    def __call__(self, constant: Constant) -> Constant:
        """The mean of each group in its place; a constant of other shapes as it is."""
        if {path: item.shape for path, item in constant.items()} != self.shapes:
            return constant
        flat = torch.cat([constant[path].flatten() for path in self.shapes])
        groups = self.groups.to(flat.device)
        sizes = torch.bincount(groups).to(flat.dtype)
        means = torch.zeros_like(sizes).index_add(0, groups, flat) / sizes
        parts = means[groups].split([math.prod(shape) for shape in self.shapes.values()])
        return {path: part.reshape(shape) for (path, shape), part in zip(self.shapes.items(), parts, strict=True)}


def ties_of(task: PyTorchTask, params: Params, seed: int, output: Any, targets: Batch) -> dict[str, Tie]:
    """What a constant output has to share, by losses that no target enters; ``output`` is the model's.

    Three embeddings by one network are the same where it ignores its input. A network that does so answers inputs
    alike, as it answers any: numbers that are equal for them, whatever the weights, are equal in its constant. Losses
    of targets keep a constant for every place, as mean images are: that is the harder one to beat.
    """
    compared = [loss for loss in task.losses if not _takes_targets(task, loss.name, output, targets)]
    draws = _on_inputs_alike(task, params, seed) if compared else []
    found: dict[str, Tie] = {}
    for loss in compared:
        chosen = [item if loss.output is None else item[loss.output] for item in draws]
        answers = answers_of(output if loss.output is None else output[loss.output])
        shared = shared_numbers(chosen, answers)
        if shared is not None:
            found[loss.name] = shared
    return found


def shared_numbers(outputs: list[Any], answers: Container[Path] | None = None) -> Shared | None:
    """Groups of the numbers that are equal in every one of ``outputs``, by different weights; None where none are.

    ``answers`` are the paths to what a constant is sought for; None for all.
    """
    if not outputs:
        return None
    rows = [{path: item for path, item in tensors_of(output).items() if item.ndim} for output in outputs]
    drawn = [{path: item[0] for path, item in one.items() if answers is None or path in answers} for one in rows]
    shapes = {path: item.shape for path, item in drawn[0].items()}
    if not shapes or any({path: item.shape for path, item in one.items()} != shapes for one in drawn):
        return None
    values = torch.stack([torch.cat([item.flatten().double().cpu() for item in one.values()]) for one in drawn])
    if not 1 < values.shape[1] <= MAX_VALUES or not bool(values.isfinite().all()):
        return None
    scaled = values / values.abs().amax(dim=1, keepdim=True).clamp(min=1e-300)
    # By no draw alone, in which units may be zero together.
    order = (torch.randn(len(values), generator=torch.Generator().manual_seed(SEED)).double() @ scaled).argsort()
    steps = scaled[:, order].diff(dim=1).abs() > SAME
    groups = torch.zeros(values.shape[1], dtype=torch.long)
    groups[order[1:]] = steps.any(dim=0).long().cumsum(dim=0)
    alone = ~_are_inside(values, [math.prod(shape) for shape in shapes.values()])
    groups[alone] = len(groups) + torch.arange(int(alone.sum()))
    groups = groups.unique(return_inverse=True)[1]
    return Shared(groups, shapes) if int(groups.max()) + 1 < len(groups) else None


def _are_inside(values: Tensor, sizes: list[int]) -> Tensor:
    """Whether each of ``values[K, P]`` lies off the ends of its tensor's range in some of the K draws."""
    found = []
    for part in values.split(sizes, dim=1):
        low, high = part.min(), part.max()
        margin = SAME * (high - low)
        found.append(((part > low + margin) & (part < high - margin)).sum(dim=0) >= INSIDE)
    return torch.cat(found)


def _takes_targets(task: PyTorchTask, name: str, output: Any, targets: Batch) -> bool:
    loss = next(loss for loss in task.losses if loss.name == name)
    chosen = output if loss.output is None else output[loss.output]
    sizes = [len(item) for item in (*tensors_of(chosen).values(), *targets.values()) if item.ndim]
    return takes_targets(loss, chosen, {field: item[: min(sizes)] for field, item in targets.items()})


def _on_inputs_alike(task: PyTorchTask, params: Params, seed: int) -> list[Any]:
    """Outputs for samples all of whose inputs are ones, by DRAWS different weights; none where the model fails."""
    names = task.data.roles.inputs
    with seeded(seed, task.device), torch.no_grad():
        batch = task.data.train.batch(torch.zeros(2, dtype=torch.long))
        job = task.job(replace(params, normalization={}))  # statistics of their own would tell the inputs apart
        job.network.eval()
        alike = {name: torch.ones_like(item) if name in names else item for name, item in batch.items()}
        try:
            return [_drawn(job, alike) for _ in range(DRAWS)]
        except Exception:  # the user's model, which may not take such inputs
            return []


def _drawn(job: Job, batch: Batch) -> Any:
    """Output of one draw of weights, all of which begin with the same; it may be a view of a parameter itself."""
    before = [item.detach().clone() for _, item in job.parameters]
    try:
        return mapped(with_random_weights(job).outputs(batch), Tensor.clone)
    finally:
        for (_, item), old in zip(job.parameters, before, strict=True):
            item.copy_(old)


@torch.no_grad()
def with_random_weights(job: Job) -> Job:
    """Random weights: with them, a head that starts at zero uses its input all the same."""
    for _, parameter in job.parameters:
        if parameter.is_floating_point():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
            parameter.add_(torch.randn_like(parameter) / math.sqrt(max(1, fan_in)))
    return job
