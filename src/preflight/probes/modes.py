"""Training mode against evaluation mode, on the same batch of a model that was trained a little."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._python_dispatch import TorchDispatchMode

from preflight.core.params import Params
from preflight.probes.work import work_of_step
from preflight.tasks.base import Job
from preflight.tasks.data import Batch
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

# Steps of training, and batches afterwards over which the running statistics are averaged.
STEPS, SETTLING = 10, 25
MOVED = 1e-3
"""Share of their norm by which weights move that no output of single precision can hide."""
MAX_WORK = 5e10
"""Operations; a model that needs more for these steps is left out, as fewer would not show it."""


def look_at_modes(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """``{"modes": {has_batch_norm, dropout, first_loss, train_loss, eval_loss, eval_again, eval_drops, eval_still}}``.

    ``has_batch_norm``: whether a module normalizes by statistics of the batch in training mode. ``dropout``: the
    largest share that a dropout module drops. ``norm_momentum``: the smallest momentum of batch normalization's running
    statistics, where there are some that move. ``first_loss`` is that of the first batch before training, the others
    are those of one batch afterwards, as weighted sums. ``eval_drops`` is whether values are dropped at random in
    evaluation mode. ``eval_still``: whether training has moved the weights by ``moved`` of their norm, and evaluation
    mode gives a batch the same loss as before, to the last digit. A model that diverges, that fails in one of the modes
    or that needs more than :data:`MAX_WORK` has no losses.
    """
    with seeded(seed, task.device):
        job, batches = task.job(params), task.batches(params, seed)
        job.network.train()
        facts: dict[str, Any] = {
            "has_batch_norm": _uses_batch_statistics(job.network),
            "norm_momentum": _norm_momentum(job.network),
            "dropout": max((item.p for item in job.network.modules() if isinstance(item, _DropoutNd)), default=0.0),
        }
        losses = _losses(task, job, batches, seed, settles=facts["has_batch_norm"])
    if losses is not None and all(math.isfinite(value) for value in losses.values()):
        facts |= losses
    return {"modes": facts}


def _uses_batch_statistics(network: nn.Module) -> bool:
    """Whether there is batch normalization that is in training mode; that over several processes sees more samples."""
    return any(
        isinstance(module, _BatchNorm) and module.training and not isinstance(module, nn.SyncBatchNorm)
        for module in network.modules()
    )


def _norm_momentum(network: nn.Module) -> float | None:
    """Share of a batch in the running statistics; None where there are none, or all batches count the same."""
    norms = [item for item in network.modules() if isinstance(item, _BatchNorm) and item.track_running_stats]
    return min((item.momentum for item in norms if item.momentum is not None), default=None)


def _losses(
    task: PyTorchTask, job: Job, batches: Iterator[Batch], seed: int, *, settles: bool
) -> dict[str, float] | None:
    steps = STEPS + SETTLING if settles else STEPS
    try:
        if steps * work_of_step(task, job.params, seed) > MAX_WORK:
            return None
        before, weights = _evaluated(task, job, seed), [item.detach().clone() for _, item in job.parameters]
        first = _train(task, job, batches)
        moved = _moved(weights, job)
        still = moved >= MOVED and _evaluated(task, job, seed) == before
        if settles:
            _settle(job, batches)
        batch = next(batches)
        with torch.no_grad():
            train = float(_total(task, job, batch))
            job.network.eval()
            evaluated = [float(_total(task, job, batch)) for _ in range(2)]
            drops = evaluated[0] != evaluated[1] and _drops(task, job, batch)
    except (RuntimeError, ValueError, TypeError, AssertionError):  # of the user's model, mostly
        return None
    return {
        "first_loss": first,
        "train_loss": train,
        "eval_loss": evaluated[0],
        "eval_again": evaluated[1],
        "eval_drops": drops,
        "eval_still": still,
        "moved": moved,
    }


@torch.no_grad()
def _evaluated(task: PyTorchTask, job: Job, seed: int) -> float:
    """Loss of the first batch in evaluation mode; random numbers go on as if nobody had asked."""
    with seeded(seed, task.device):
        job.network.eval()
        try:
            return float(_total(task, job, next(task.batches(job.params, seed))))
        finally:
            job.network.train()


@torch.no_grad()
def _moved(before: list[Tensor], job: Job) -> float:
    """Norm of the change of all trained weights over theirs."""
    pairs = list(zip(before, (item for _, item in job.parameters), strict=True))
    change = math.sqrt(sum(float((new - old).double().square().sum()) for old, new in pairs))
    return change / max(math.sqrt(sum(float(old.double().square().sum()) for old, _ in pairs)), 1e-300)


def _drops(task: PyTorchTask, job: Job, batch: Batch) -> bool:
    """Whether a pass leaves anything out at random."""
    drops = _Drops()  # type: ignore[no-untyped-call]  # torch has no types for the mode
    with drops:
        _total(task, job, batch)
    return drops.seen


class _Drops(TorchDispatchMode):
    """Notes whether anything is left out at random inside: dropout in any form draws from a Bernoulli distribution, of
    one probability for all.

    A latent variable that is sampled draws from a normal or uniform one, by its logarithms, or by probabilities of its
    own for every sample.
    """

    seen = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation as it is."""
        name, given = str(func), kwargs or {}
        is_attention = "attention" in name and float(given.get("dropout_p", 0.0)) > 0
        is_dropout = "dropout" in name and "attention" not in name
        self.seen |= is_attention or is_dropout or ("bernoulli" in name and _is_even(name, args))
        return func(*args, **given)


def _is_even(name: str, args: Any) -> bool:
    """Whether a draw from a Bernoulli distribution has one probability for all values."""
    place = {"aten.bernoulli.default": 0, "aten.bernoulli_.Tensor": 1}.get(name)
    return place is None or args[place].numel() == 0 or bool((args[place] == args[place].flatten()[0]).all())


def _train(task: PyTorchTask, job: Job, batches: Iterator[Batch]) -> float:
    """Train at today's settings; the first loss."""
    first = math.nan
    for step in range(STEPS):
        job.optimizer.zero_grad(set_to_none=True)
        total = _total(task, job, next(batches))
        first = float(total.detach()) if step == 0 else first
        total.backward()
        if job.params.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([item for _, item in job.parameters], job.params.clip_norm)
        job.optimizer.step()
    return first


@torch.no_grad()
def _settle(job: Job, batches: Iterator[Batch]) -> None:
    """Running statistics as the mean over some batches, whatever their momentum: how slow that is, PF505 asks apart."""
    for module in job.network.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = None
            module.reset_running_stats()
    for _ in range(SETTLING):
        job.outputs(next(batches))


def _total(task: PyTorchTask, job: Job, batch: Batch) -> Tensor:
    """Weighted sum of the losses of a batch."""
    output = job.outputs(batch)
    targets = {name: batch[name] for name in task.data.roles.targets}
    weights = job.params.loss_weights
    total = torch.zeros((), device=job.device)
    for loss in job.losses:
        total = total + float(weights.get(loss.name, 1.0)) * loss(output, targets)
    return total
