"""Every loss before training: its value, what it receives, and what it asks of the parameters that losses share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from preflight.core.params import Params
from preflight.probes.constant import Tie, best_constants, free
from preflight.probes.gradients import Pull, pulls
from preflight.probes.heads import head_of, statistics, target_statistics
from preflight.probes.loss_kind import (
    chance_of,
    classes_second,
    floor_of,
    is_of_all_pairs,
    kind_of,
    rank_of_target,
    scaling_of,
    valued,
)
from preflight.probes.penalty import takes_targets
from preflight.probes.regularization import decay_facts, penalty_facts
from preflight.probes.sense import within_reach
from preflight.probes.steps import targets_of, train_briefly, weights_of
from preflight.probes.ties import ties_of
from preflight.probes.work import steps_within
from preflight.tasks.base import Job, NamedLoss, pick_target
from preflight.tasks.data import Batch, spread, take_samples
from preflight.tasks.outputs import detached, has_graph
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

# Of one initialisation alone, two losses may be at odds by accident.
INITIALISATIONS = 3
BATCHES = 4
LATER_STEPS = 20
WORK = 1.5e10
"""Operations of the batches before training, and of the steps after them; a large model gets fewer of both."""
SAMPLES = 512
"""Samples on which a loss is asked what it is."""


@dataclass
class Seen:
    """What was measured of one loss, a value per batch."""

    values: list[float] = field(default_factory=list)
    first: float = math.nan


def look_at_losses(
    task: PyTorchTask, params: Params, seed: int, constants: Mapping[str, float | None]
) -> dict[str, Any]:
    """Facts ``losses``, ``loss_batches`` (their number), ``cosines``, ``cosine_spread`` and ``regularization``.

    ``losses.NAME`` holds ``initial`` (mean over batches of several initialisations), ``constant`` (the best constant
    predictor; at today's batch size where the loss depends on it), ``constant_training`` (its loss on the training
    split, which the validation's may be some percent off by chance), ``chance`` and ``chance_kind``, ``classes``,
    ``kind`` (see loss_kind.py), ``weight``, ``target`` (the field it takes, where it is one), ``gradient_norm`` and
    ``weighted_gradient_norm`` on the parameters that more than one loss reaches (all where there is one loss),
    ``share`` of the weighted ones, ``share_later`` after a few steps, ``batch_scaling``, ``data_free`` (share of the
    value that no data enters), ``target_rank``, ``fresh`` (share of the weights that are drawn anew), ``activation``
    with ``low``, ``high`` and ``softmax_units``, ``floor`` (loss that the bounds leave), ``target_outside`` (share of
    the targets out of bounds), ``all_pairs`` (outputs are compared with the targets of all samples) and the statistics
    of heads.py. All is measured at the checkpoint where training starts from one. ``cosines`` maps ``a|b`` to the mean
    cosine of their gradients, ``cosine_spread`` to the highest one, the number of batches, and the highest one a few
    steps later. What cannot be measured is left out.
    """
    facts: dict[str, dict[str, Any]] = {}
    with seeded(seed, task.device):
        batch = _wide_batch(task, params)
        job = task.job(params)
        outputs = _outputs(job, batch)
        weights = weights_of(job)
        ties = ties_of(task, params, seed, outputs, targets_of(task, batch))
        for loss in job.losses:
            found, tie = _what_it_is(task, loss, outputs, batch), ties.get(loss.name, free)
            known = constants.get(loss.name)
            if known and any(abs(ratio - 1) > 0.02 for ratio in found.get("batch_scaling", {}).values()):
                known = _constant_at(task, params, loss, outputs, batch, tie)
            named = loss.target or (task.data.roles.targets[0] if len(task.data.roles.targets) == 1 else None)
            on_training = None if known is None else _on_training(task, params, loss, outputs, tie)
            constant = {"constant": known, "constant_training": on_training}
            facts[loss.name] = {"weight": weights[loss.name], "target": named, **constant, **found}
        regularization = decay_facts(job, outputs, targets_of(task, batch))
        for name, share in penalty_facts(job, weights, batch, task).items():
            if name in facts:
                facts[name]["data_free"] = share
            else:
                regularization[name] = share
    pull, fresh = _look_at_gradients(task, params, seed, weights)
    for name, entry in pull.by_loss().items():
        facts[name] |= {**entry, "fresh": fresh}
    found_cosines = pull.cosines()
    return {
        "losses": facts,
        "cosines": {pair: mean for pair, (mean, _, _) in found_cosines.items()},
        "cosine_spread": {
            pair: {"highest": highest, "batches": pull.batches, "later": later}
            for pair, (_, highest, later) in found_cosines.items()
        },
        "regularization": regularization,
        "loss_batches": pull.batches,
    }


def _wide_batch(task: PyTorchTask, params: Params) -> Batch:
    """Training samples spread over the split: at least today's batch, and as many as tell what a loss is."""
    source = task.data.train
    count = min(len(source), max(params.batch_size, min(SAMPLES, 8 * max(8, params.batch_size))))
    return source.batch(spread(len(source), count - count % 4 if count >= 8 else count).to(_index_device(task)))


def _index_device(task: PyTorchTask) -> torch.device:
    return task.device if hasattr(task.data.train, "tensors") else torch.device("cpu")


def _outputs(job: Job, batch: Batch) -> Any:
    """Output on ``batch`` with its graph, in evaluation mode where that has one: dropout is no part of a head."""
    job.network.eval()
    try:
        outputs = job.outputs(batch)
    finally:
        job.network.train()
    return outputs if has_graph(outputs) else job.outputs(batch)


def _what_it_is(task: PyTorchTask, loss: NamedLoss, outputs: Any, batch: Batch) -> dict[str, Any]:
    targets = targets_of(task, batch)
    with torch.no_grad():
        found: dict[str, Any] = {"batch_scaling": scaling_of(loss, detached(_chosen(loss, outputs)), targets)}
    output, target = _chosen(loss, outputs), pick_target(targets, loss.target)
    if not isinstance(output, Tensor) or not output.ndim or not output.is_floating_point():
        return found
    found |= statistics(output)
    if not isinstance(target, Tensor) or not target.numel() or target.is_complex():
        return found
    found |= target_statistics(target)
    is_of_pairs = is_of_all_pairs(valued(loss, targets), output, target)
    found["all_pairs"] = is_of_pairs and takes_targets(loss, output.detach(), targets)
    value, plain = classes_second(valued(loss, targets), output.detach(), target)
    head = head_of(output)
    kind = kind_of(value, plain, target)
    chance = chance_of(kind, value, plain, target)
    found |= {"kind": kind, "chance": None if chance is None else chance[0], "chance_kind": chance and chance[1]}
    if kind in ("cross_entropy", "nll"):
        found |= {"classes": int(plain.shape[1]), "target_rank": rank_of_target(plain, target)}
    if head is not None:
        outside = (target.double() < head.low - 1e-6) | (target.double() > head.high + 1e-6)
        found |= {"activation": head.activation, "low": head.low, "high": head.high, "softmax_units": head.units}
        found |= {"floor": floor_of(kind, value, plain, target, head), "target_outside": float(outside.double().mean())}
    return found


def _chosen(loss: NamedLoss, outputs: Any) -> Any:
    return outputs if loss.output is None else outputs[loss.output]


def _on_training(task: PyTorchTask, params: Params, loss: NamedLoss, outputs: Any, tie: Tie) -> float | None:
    _, batch = take_samples(task.data.train, most=task.extent.samples)
    targets = targets_of(task, batch)
    return best_constants((loss,), outputs, targets, targets, params.batch_size, {loss.name: tie})[loss.name]


def _constant_at(
    task: PyTorchTask, params: Params, loss: NamedLoss, outputs: Any, batch: Batch, tie: Tie
) -> float | None:
    """Best constant predictor for batches of today's size, of a loss that is another one for another size."""
    targets = targets_of(task, batch)
    size = len(next(iter(targets.values())))
    full = {name: target[: size - size % params.batch_size or size] for name, target in targets.items()}
    found = best_constants((loss,), outputs, full, full, params.batch_size, {loss.name: tie})[loss.name]
    return None if found is None else within_reach(loss, outputs, full, params.batch_size, found, tie)


def _look_at_gradients(
    task: PyTorchTask, params: Params, seed: int, weights: Mapping[str, float]
) -> tuple[Pull, float]:
    """Gradients of every loss at several initialisations, and a few steps later; share of the weights drawn anew.

    A checkpoint is one start, whose batches are all of one order: so many different ones.
    """
    found, before, fresh = Pull(weights), None, 0.0
    starts = INITIALISATIONS if task.checkpoint is None else 1
    batches_in_all = task.extent.loss_batches or _affordable(task, params, seed, len(weights))
    for number in range(starts):
        count = len(range(number, batches_in_all, starts))
        with seeded(seed + number, task.device):
            job = task.job(params)
            batches = task.batches(params, seed + number)
            job.network.train()
            for _ in range(count):
                found.add(pulls(job, next(batches), task))
            drawn = [item.detach().flatten()[:4096].clone() for _, item in job.parameters if item.ndim > 1]
            if before is not None:
                pairs = list(zip(before, drawn, strict=True))
                total = sum(len(new) for _, new in pairs)
                fresh = sum(float((old != new).sum()) for old, new in pairs) / total if total else 0.0
            before = drawn
            is_last = number == starts - 1 and len(job.losses) > 1
            if is_last and train_briefly(job, task, batches, steps_within(task, params, seed, WORK, LATER_STEPS)):
                for _ in range(2):
                    found.later.append(pulls(job, next(batches), task))
    return found, fresh


def _affordable(task: PyTorchTask, params: Params, seed: int, losses: int) -> int:
    """Batches that a model is quick enough for."""
    return steps_within(task, params, seed, WORK / max(1, losses), BATCHES * INITIALISATIONS)
