"""Gradients of disjoint training batches at fixed weights, for the gradient noise scale; the training goes on as if
nobody had looked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from preflight.advise.noise import MIN_BATCHES, Gram, NoiseScale, noise_scale
from preflight.probes.fit import one_line
from preflight.probes.steps import weighted
from preflight.tasks.base import Job, Task
from preflight.tasks.data import Batch, uncached
from preflight.tasks.memory import is_out_of_memory
from preflight.tasks.seeding import RandomState

# Gradients whose dot products are taken. The interval narrows with the root of the samples; each costs as much as a
# training step without its optimizer. Of a run there is one for every so many steps at most, at each of the moments.
BATCHES = 32
STEPS_PER_BATCH = 10
# Numbers that are kept of a gradient. A larger one is folded to as many under random signs, which leaves every dot
# product as it is on average, and a squared norm to a share of sqrt(2 / size): 0.14% (Charikar et al. 2002, "Finding
# frequent items in data streams"). Intervals are tens of percent wide. 32 gradients take 128 MiB.
SKETCH = 2**20
SIGNS = 0  # seed of the signs, which must be the same for all gradients
# A loss of a batch that differs by as much from the mean of its halves, and from their sum, ties samples together.
TIED = 0.05
CHECKED = 4  # batches whose halves are compared


@dataclass(frozen=True)
class NoiseMoment:
    """What was measured after ``step`` steps: a noise scale, or why there is none.

    ``tied`` are losses that compare the samples of a batch with each other; ``normed`` is whether batch normalization
    does so.
    """

    step: int
    batches: int = 0
    batch_size: int = 0
    scale: NoiseScale | None = None
    failed: str = ""
    tied: tuple[str, ...] = ()
    normed: bool = False


def moments(steps: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Steps after which the noise scale is measured, at these shares of the run."""
    return tuple(sorted({round(steps * share) for share in shares}))


def batches_within(steps: int) -> int:
    """Batches at each moment of a run of so many steps, so that a short one is not spent on measuring."""
    return min(BATCHES, max(MIN_BATCHES, steps // STEPS_PER_BATCH))


def measure_noise(job: Job, task: Task, seed: int, step: int, most: int = BATCHES) -> NoiseMoment:
    """The noise scale of the weighted total loss in training mode, before clipping, at the job's present weights.

    It takes ``most`` batches. Weight decay is no part of it. What cannot be measured is said in the answer, whatever
    the user's code raises.
    """
    normed = any(isinstance(module, _BatchNorm) and module.training for module in job.network.modules())
    size = len(task.data.train)
    count, batch_size = batches_of(size, job.params.batch_size, most, fixed=normed)
    if count < MIN_BATCHES:
        why = f"{size} training samples make {count} batches of {batch_size}, and {MIN_BATCHES} are needed"
        return NoiseMoment(step, count, batch_size, failed=why, normed=normed)
    try:
        with untouched(job):
            gram = gram_matrix(
                [_sketch_of(job, task, batch) for batch in disjoint_batches(task, count, batch_size, seed)]
            )
            tied = _tied(job, task, disjoint_batches(task, min(count, CHECKED), batch_size, seed))
    except Exception as error:  # of the user's model mostly, in a situation that training does not bring about
        why = "memory ran out" if is_out_of_memory(error) else one_line(error)
        return NoiseMoment(step, count, batch_size, failed=why, normed=normed)
    try:
        scale = noise_scale(gram, batch_size)
    except ValueError as error:
        return NoiseMoment(step, count, batch_size, failed=str(error), tied=tied, normed=normed)
    return NoiseMoment(step, count, batch_size, scale, tied=tied, normed=normed)


def batches_of(samples: int, batch_size: int, most: int, *, fixed: bool) -> tuple[int, int]:
    """Number and size of disjoint batches: of smaller ones where so many of the run's own do not fit, unless
    ``fixed``, as batch normalization wants it.
    """
    if not fixed:
        batch_size = min(batch_size, max(2, samples // most))
    return min(most, samples // batch_size), batch_size


def disjoint_batches(task: Task, count: int, batch_size: int, seed: int) -> Iterator[Batch]:
    """Batches of training samples at random, none of them twice, in an order of their own."""
    source = uncached(task.data.train)
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed))[: count * batch_size]
    for part in order.split(batch_size):
        yield source.batch(part.to(task.device) if hasattr(source, "tensors") else part)


@contextmanager
def untouched(job: Job) -> Iterator[None]:
    """Leave weights, buffers, modes and random numbers as they were; gradients must not be accumulated inside.

    What a model keeps outside its parameters and buffers is not known here, and so not put back.
    """
    modules = [module for root in _roots(job) for module in root.modules()]
    buffers = [dict(module._buffers) for module in modules]
    modes = [module.training for module in modules]
    tensors = [item for root in _roots(job) for item in (*root.parameters(), *root.buffers())]
    values = [item.detach().clone() for item in tensors]
    before = RandomState.now(job.device)
    try:
        yield
    finally:
        before.put_back()
        for module, own, mode in zip(modules, buffers, modes, strict=True):
            module._buffers.update(own)
            module.training = mode
        with torch.no_grad():
            for item, value in zip(tensors, values, strict=True):
                item.copy_(value)


def gram_matrix(sketches: Sequence[Tensor]) -> Gram:
    """Dot products ``[k, k]`` of ``k`` vectors, in double precision, a piece of them at a time."""
    found = torch.zeros(len(sketches), len(sketches), dtype=torch.float64)
    pieces = zip(*(sketch.split(2**16) for sketch in sketches), strict=True)
    for piece in pieces:
        rows = torch.stack(piece).double()
        found += rows @ rows.T
    gram: Gram = found.numpy()
    return gram


def folded(tensors: Sequence[Tensor], size: int) -> Tensor:
    """The numbers of all ``tensors`` as one vector of at most ``size``: what lies ``size`` apart is added up, under
    random signs. Exact where there are no more than that.
    """
    total = sum(item.numel() for item in tensors)
    found = torch.zeros(min(size, total), device=tensors[0].device)
    signs = torch.Generator().manual_seed(SIGNS)
    place = 0
    for item in tensors:
        flat = item.detach().reshape(-1)
        while len(flat):
            start = place % size
            piece, flat = flat[: size - start].float(), flat[size - start :]
            if place >= size:
                piece = piece * _signs(len(piece), signs).to(piece.device)
            found[start : start + len(piece)] += piece
            place += len(piece)
    return found.cpu()


def _signs(count: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, (count,), generator=generator, dtype=torch.int8).mul_(2).sub_(1)


def _sketch_of(job: Job, task: Task, batch: Batch) -> Tensor:
    """Gradient of the weighted total loss; of parameters that it does not reach, zeros. ``.grad`` stays as it is."""
    tensors = [item for _, item in job.parameters]
    with torch.enable_grad():
        total = weighted(job, job.outputs(batch), _targets(task, batch))
        gradients = torch.autograd.grad(total, tensors, allow_unused=True) if total.requires_grad else [None]
    found = [item for item in gradients if item is not None]
    if not found:
        return torch.zeros(1)
    dense = (
        torch.zeros_like(tensor) if item is None else item.to_dense() if item.is_sparse else item
        for tensor, item in zip(tensors, gradients, strict=True)
    )
    return folded(list(dense), SKETCH)


@torch.no_grad()
def _tied(job: Job, task: Task, batches: Iterator[Batch]) -> tuple[str, ...]:
    """Losses of which a batch has neither the mean nor the sum of its halves, without what training alone does; none
    where halves cannot be made.
    """
    for root in _roots(job):
        root.eval()
    names = [loss.name for loss in job.losses]
    try:
        rows = [[_losses(job, task, part) for part in _with_halves(batch)] for batch in batches]
    except Exception:  # a collate function may pack samples otherwise than along the first axis
        return ()
    whole, *halves = torch.tensor(rows, dtype=torch.float64).mean(dim=0)
    added = halves[0] + halves[1]
    off = [(whole - other).abs() > TIED * torch.maximum(whole.abs(), other.abs()) for other in (added / 2, added)]
    return tuple(name for name, first, second in zip(names, *off, strict=True) if first and second)


def _with_halves(batch: Batch) -> list[Batch]:
    """An even number of a batch's samples, and the halves of them."""
    half = len(next(iter(batch.values()))) // 2
    cuts = slice(0, 2 * half), slice(0, half), slice(half, 2 * half)
    return [{name: item[cut] for name, item in batch.items()} for cut in cuts]


def _losses(job: Job, task: Task, batch: Batch) -> list[float]:
    output, targets = job.outputs(batch), _targets(task, batch)
    return [float(loss(output, targets)) for loss in job.losses]


def _targets(task: Task, batch: Batch) -> Batch:
    return {name: batch[name] for name in task.data.roles.targets}


def _roots(job: Job) -> list[nn.Module]:
    """The network, and losses that are modules: they may hold buffers, such as centres."""
    losses = [loss.function for loss in job.losses]
    return [job.network, *(item for item in losses if isinstance(item, nn.Module))]
