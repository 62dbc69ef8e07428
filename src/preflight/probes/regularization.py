"""What of the training pulls the weights without any data: weight decay, and penalties inside a loss."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from typing import Any

import torch
from torch import Tensor

from preflight.probes.gradients import norm_of
from preflight.probes.penalty import takes_targets
from preflight.probes.steps import targets_of, weighted
from preflight.tasks.base import Job
from preflight.tasks.data import Batch
from preflight.tasks.outputs import Path, is_known, replaced, tensors_of
from preflight.tasks.pytorch import PyTorchTask


def decay_facts(job: Job, output: Any, targets: Batch) -> dict[str, Any]:
    """``weight_decay``, whether it is ``decoupled``, and ``decay_ratio``: what it takes off over what the
    gradient asks for.

    Where decay is added to the gradient, both are norms of gradients. Where it is not (AdamW), a step moves each
    weight by about the learning rate, and decay by the learning rate times decay times weight.
    """
    pairs = [(group, item) for group in job.optimizer.param_groups for item in group["params"]]
    decays = [float(group.get("weight_decay") or 0.0) for group, _ in pairs]
    if not any(decays):
        return {"weight_decay": 0.0, "decay_ratio": 0.0}
    adaptive = "betas" in job.optimizer.param_groups[0]
    decoupled = adaptive and (
        bool(job.optimizer.param_groups[0].get("decoupled_weight_decay")) or "AdamW" in type(job.optimizer).__name__
    )
    taken = math.sqrt(sum((d * float(p.detach().norm())) ** 2 for d, (_, p) in zip(decays, pairs, strict=True)))
    total = weighted(job, output, targets)
    tensors = [item for _, item in pairs]
    gradient = norm_of(torch.autograd.grad(total, tensors, retain_graph=True, allow_unused=True))
    asked = math.sqrt(sum(item.numel() for item in tensors)) if decoupled else gradient
    ratio = taken / asked if asked > 0 and math.isfinite(taken) else None
    return {"weight_decay": max(decays), "decoupled": decoupled, "decay_ratio": ratio}


def penalty_facts(job: Job, weights: Mapping[str, float], batch: Batch, task: PyTorchTask) -> dict[str, float]:
    """By loss the share of its value that no data enters, and ``penalty_ratio``: gradient of that over the rest's.

    A penalty reaches a loss as a number of the output that is the same for all samples, or past the output
    altogether; the output proper is cut off the graph to see what remains.
    """
    size = len(next(iter(batch.values())))
    if size < 4:
        return {}
    job.network.eval()
    halves = [{name: item[part] for name, item in batch.items()} for part in (slice(size // 2), slice(size // 2, size))]
    outputs = [job.outputs(half) for half in halves]
    job.network.train()
    if not is_known(outputs[0]):
        return {}  # what it hides cannot be cut off
    targets = targets_of(task, halves[0])
    predictions = _predictions(job, outputs[0], targets)
    penalties = _penalties(outputs[0], outputs[1], predictions)
    cut = replaced(penalties, outputs[0])
    without = replaced({path: torch.zeros_like(item) for path, item in penalties.items()}, outputs[0])
    tensors = [item for _, item in job.parameters]
    shares, free, whole = {}, [], []
    for loss in job.losses:
        value = loss(outputs[0], targets)
        whole.append(weights[loss.name] * value)
        kept = loss(cut, targets)
        if not kept.requires_grad:
            shares[loss.name] = 0.0
            continue
        free.append(weights[loss.name] * kept)
        rest = float(loss(without, targets)) if penalties else math.nan
        if math.isfinite(rest) and float(value.detach()) != 0:
            shares[loss.name] = 1 - rest / float(value.detach())
    if not free:
        return {**shares, "penalty_ratio": 0.0}
    penalty = torch.autograd.grad(torch.stack(free).sum(), tensors, retain_graph=True, allow_unused=True)
    everything = torch.autograd.grad(torch.stack(whole).sum(), tensors, allow_unused=True)
    data = [a if b is None else -b if a is None else a - b for a, b in zip(everything, penalty, strict=True)]
    norm = norm_of(data)
    pulled = norm_of(penalty)
    return {**shares, "penalty_ratio": pulled / norm if norm > 0 else (math.inf if pulled > 0 else 0.0)}


def _predictions(job: Job, output: Any, targets: Batch) -> set[str]:
    """Keys of the output that a loss holds against targets: a head that is dead says one number there, too."""
    named = [loss for loss in job.losses if loss.output is not None]
    return {str(loss.output) for loss in named if takes_targets(loss, output[loss.output], targets)}


def _penalties(output: Any, other: Any, predictions: Container[str]) -> dict[Path, Tensor]:
    """Numbers of an output that ``other`` samples share."""
    there = tensors_of(other)
    return {
        path: item
        for path, item in tensors_of(output).items()
        if path and path[0] not in predictions and item.requires_grad and path in there
        # What a position holds has no name that a loss takes it by: a dead head is told by its samples.
        if (isinstance(output, Mapping) and len(path) == 1) or item.numel() == 1
        if _is_one_value(item, there[path])
    }


def _is_one_value(item: Tensor, other: Tensor) -> bool:
    """Whether a tensor of the output holds a single value, the same for ``other`` samples."""
    if not item.numel() or not other.numel():
        return False
    value = item.flatten()[0]
    return bool((item == value).all()) and bool((other == value).all())
