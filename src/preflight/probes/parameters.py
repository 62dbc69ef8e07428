"""Every parameter before training: whether it is trained, whether a gradient reaches it, whether its units differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from preflight.core.params import Params
from preflight.probes.optimizers import look_at_optimizer
from preflight.probes.steps import targets_of, weighted
from preflight.probes.untouched import backward, leaves_of, untouched
from preflight.tasks.base import Job
from preflight.tasks.pytorch import PyTorchTask, component_of
from preflight.tasks.seeding import seeded

# Units and their inputs that are compared; random ones differ in any of them.
MAX_UNITS, MAX_INPUTS = 1024, 64
# Gradients of equal units come out of different places of one matrix product.
ROUNDING = 1e-4
# Share of the gradient norm that rounding leaves where terms cancel.
NOISE = 1e-6
# Steps down the gradient after which equal units have had the chance to part, and their share of the weights' norm.
STEPS, SHARE = 3, 0.01
# Values by which two builds of a frozen parameter are told apart.
SAMPLE = 64
Sample: TypeAlias = tuple[torch.Size, Tensor]
Samples: TypeAlias = Mapping[str, Sample]


def look_at_parameters(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """Fact ``parameters``: of every parameter of the user's model, and of tensors with a gradient that are none of it.

    Beside it fact ``optimizer`` of :func:`look_at_optimizer`. Each parameter is
    ``{name, component, values, shape, trained, in_optimizer, registered, has_gradient, weight_norm,
    gradient_norm, symmetric_units, random, of_loss}`` at initialisation, with the gradient of today's first batch.
    ``registered`` is False for what the loss depends on and the model does not list (layers in a plain Python list):
    no optimizer sees it. ``of_loss`` is True where another build of the model meets the same tensor, which then
    belongs to the loss, as a fixed network that compares images does. ``symmetric_units`` counts rows of a weight
    that start equal and still get equal gradients after a few steps; None for vectors. ``random`` says of a frozen
    parameter whether its values come from the seed, and not from a checkpoint or a trained parameter (None else).
    """
    with seeded(seed, task.device):
        job = task.job(params)
        with untouched(job.network), backward(_loss(job, task, params, seed)) as leaves:
            found = _facts(job, task, leaves)
    frozen, trained = (_samples(job, trained=is_trained) for is_trained in (False, True))
    strays = _strays(job, leaves)
    if frozen or strays:
        with seeded(seed + 1, task.device):
            other = task.job(params)
            _compare(found, frozen, trained, _samples(other, trained=False))
            with untouched(other.network):
                again = {id(item) for item in leaves_of(_loss(other, task, params, seed))} if strays else set()
        for item, stray in zip(found[len(found) - len(strays) :], strays, strict=True):
            item["of_loss"] = id(stray) in again
    with seeded(seed, task.device):
        _count_copies(found, job, task, params, seed)
    return {"parameters": found, **look_at_optimizer(task, params, seed)}


def _loss(job: Job, task: PyTorchTask, params: Params, seed: int) -> Tensor:
    """Weighted loss of the first batch."""
    batch = next(task.batches(params, seed))
    return weighted(job, job.outputs(batch), targets_of(task, batch))


def _strays(job: Job, leaves: Sequence[Tensor]) -> list[Tensor]:
    """Leaves that are no parameter of the model."""
    listed = {id(item) for item in job.network.parameters()}
    return [item for item in leaves if id(item) not in listed]


def _compare(found: list[dict[str, Any]], frozen: Samples, trained: Samples, other: Samples) -> None:
    """Note of every frozen parameter whether another seed gives another one, and no trained one is its original."""
    for item in found:
        if (sample := frozen.get(item["name"])) is not None:
            is_copy = any(_same(sample, copy) for copy in trained.values())
            item["random"] = not is_copy and not _same(sample, other.get(item["name"]))


def _facts(job: Job, task: PyTorchTask, leaves: Sequence[Tensor]) -> list[dict[str, Any]]:
    optimized = {id(item) for group in job.optimizer.param_groups for item in group["params"]}
    named = dict(job.network.trained_parameters())  # type: ignore[operator]  # a method of ours
    entries = []
    for name, item in named.items():
        component = component_of(name, task.settings.components)
        entries.append(_one(name, item, optimized) | {"component": component, "registered": True})
    for index, item in enumerate(_strays(job, leaves)):
        name = f"unregistered.{index}"
        entries.append(_one(name, item, optimized) | {"component": "unregistered", "registered": False})
    return entries


def _one(name: str, parameter: Tensor, optimized: set[int]) -> dict[str, Any]:
    gradient = parameter.grad
    if gradient is not None and gradient.is_sparse:
        gradient = gradient.coalesce().values()
    return {
        "name": name,
        "values": parameter.numel(),
        "shape": list(parameter.shape),
        "trained": parameter.requires_grad,
        "in_optimizer": id(parameter) in optimized,
        "has_gradient": gradient is not None,
        "weight_norm": _norm(parameter),
        "gradient_norm": None if gradient is None else _norm(gradient),
        "symmetric_units": 0 if parameter.ndim > 1 else None,
        "random": None,
        "of_loss": None,
    }


def _norm(tensor: Tensor) -> float | None:
    norm = float(torch.linalg.vector_norm(tensor.detach().float()))
    return norm if norm < float("inf") else None


def _count_copies(found: list[dict[str, Any]], job: Job, task: PyTorchTask, params: Params, seed: int) -> None:
    """Note of every weight how many of its units are copies of another one, and stay so.

    Equal rows alone prove nothing, and without a gradient nobody knows: a head of zeros hands none on before it has
    moved. So a few short steps down the gradient are taken first, which keep equal what is equal.
    """
    named = dict(job.parameters)
    twins = {name: groups for name, item in named.items() if (groups := _equal_rows(item)) is not None}
    if not twins:
        return
    for _ in range(STEPS):
        with untouched(job.network), backward(_loss(job, task, params, seed)):
            gradients = {name: _dense(item.grad) for name, item in named.items() if item.grad is not None}
        scale = _norm_of(gradients.values())
        _descend(named, gradients, scale)
    for item in found:
        if item["name"] in twins and item["name"] in gradients:
            item["symmetric_units"] = _copies(twins[item["name"]], gradients[item["name"]], NOISE * scale)


@torch.no_grad()
def _descend(named: Mapping[str, Tensor], gradients: Mapping[str, Tensor], scale: float) -> None:
    """Move the weights by a small share of their length."""
    length = SHARE * max(1.0, _norm_of(named.values()))
    if not 0 < scale < float("inf"):
        return
    for name, gradient in gradients.items():
        named[name].sub_(gradient, alpha=length / scale)


@torch.no_grad()
def _equal_rows(weight: Tensor) -> Tensor | None:
    """Group of each of the first rows of ``weight[C, ...]`` by their values; None where all differ."""
    if weight.ndim < 2:
        return None
    rows = weight.detach().flatten(1)[:MAX_UNITS, :MAX_INPUTS].float().cpu()
    groups, group = torch.unique(rows, dim=0, return_inverse=True)
    return None if len(groups) == len(rows) else group


@torch.no_grad()
def _copies(group: Tensor, gradient: Tensor, noise: float) -> int:
    """Rows of ``gradient[C, ...]`` that equal those of their whole ``group[C]``, which is not just one row."""
    pull = gradient.flatten(1)[:MAX_UNITS].float().cpu()
    sizes = torch.bincount(group)
    mean = torch.zeros(len(sizes), pull.shape[1]).index_add_(0, group, pull) / sizes[:, None]
    size, apart = (torch.linalg.vector_norm(item, dim=1) for item in (mean, pull - mean[group]))
    return int(((sizes[group] > 1) & (size[group] > noise) & (apart <= ROUNDING * size[group])).sum())


def _dense(gradient: Tensor) -> Tensor:
    """A copy that outlives the next backward pass."""
    return gradient.detach().to_dense() if gradient.is_sparse else gradient.detach().clone()


def _norm_of(tensors: Iterable[Tensor]) -> float:
    """L2 norm of several tensors together."""
    return float(sum(float(torch.linalg.vector_norm(item.detach().float())) ** 2 for item in tensors) ** 0.5)


def _samples(job: Job, *, trained: bool) -> Samples:
    """Shape and first values of every parameter of one sort; a constant is no sample of anything."""
    named = dict(job.network.trained_parameters())  # type: ignore[operator]  # a method of ours
    chosen = {name: item for name, item in named.items() if item.requires_grad == trained}
    return {name: (item.shape, item.detach().flatten()[:SAMPLE].clone().cpu()) for name, item in chosen.items()}


def _same(sample: Sample, other: Sample | None) -> bool:
    return other is not None and sample[0] == other[0] and torch.equal(sample[1], other[1])
