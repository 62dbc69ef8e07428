"""Does the output use the input, and can one batch be fitted at all? A few short trainings tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from preflight.core.params import Params
from preflight.probes.constant import best_constants
from preflight.probes.steps import one_step, targets_of, weights_of
from preflight.probes.ties import ties_of, with_random_weights
from preflight.probes.work import steps_within
from preflight.tasks.base import Job
from preflight.tasks.data import Batch
from preflight.tasks.outputs import tensors_of
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

STEPS = 30
FIT_STEPS = 80
FIT_SAMPLES = 8
# A learning rate that is far off must not be mistaken for a broken model.
FACTORS = (1.0, 0.1, 10.0, 0.01, 100.0)
FITTED = 0.5
"""Share of the best constant's loss below which one batch counts as fitted."""
WORK = 6e9
"""Operations of each of the short trainings; a large model gets fewer steps."""
MAX_HELD = 2**29
"""Bytes of the batches that one model after another is trained on: they are fetched once."""

Change = Callable[[Batch], Batch]


def look_at_usage(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """Facts ``inputs_used`` and ``batch_fit``.

    ``inputs_used`` holds the weighted loss after ``steps`` steps from the same seed with ``real`` inputs, with
    ``zeroed`` ones and with ``shuffled`` ones (another sample's), the change of the output when a sample gets
    another's input, relative to the output (``sensitivity``: ``initial``, ``later``, and ``perturbed``: with weights
    drawn at random), by input field ``fields.NAME`` the largest of them, and by loss ``losses.NAME`` the largest one
    of the output that it takes by name.
    ``batch_fit`` holds ``first`` and ``last`` weighted loss of one batch trained on for ``steps`` steps at the best
    of several learning rates (``lr``), all of them under ``tried``, and the batch's best ``constant``.
    """
    return {"inputs_used": _inputs_used(task, params, seed), "batch_fit": _batch_fit(task, params, seed)}


def _inputs_used(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    names = task.data.roles.inputs
    with seeded(seed, task.device):
        batches = _held(task, params, seed)
        wide = task.data.train.batch(torch.arange(min(len(task.data.train), 64)))
        job = task.job(params)
        heads = [_of_heads(job, wide, names)]
        initial = _sensitivities(job, wide, names)
        real = _trained(job, task, batches, lambda given: given)
        later = _sensitivities(job, wide, names)
        heads.append(_of_heads(job, wide, names))
        random = with_random_weights(task.job(params))
        perturbed = _sensitivities(random, wide, names)
        heads.append(_of_heads(random, wide, names))
    facts: dict[str, Any] = {"steps": len(batches), "real": real, "batch": len(next(iter(batches[0].values())))}
    for name, change in (("zeroed", _zeroed(names)), ("shuffled", _shuffled(names))):
        with seeded(seed, task.device):
            facts[name] = _trained(task.job(params), task, batches, change)
    kinds = {"initial": initial, "later": later, "perturbed": perturbed}
    facts["sensitivity"] = {kind: max(found.values(), default=None) for kind, found in kinds.items()}
    facts["losses"] = {
        name: max(found[name] for found in heads) for name in heads[0] if all(name in found for found in heads)
    }
    facts["fields"] = {
        name: max(found[name] for found in kinds.values() if name in found)
        for name in names
        if all(name in found for found in kinds.values())
    }
    return facts


def _held(task: PyTorchTask, params: Params, seed: int) -> list[Batch]:
    """Batches to train on: as many as the model is quick enough for, and as memory holds."""
    batches = task.batches(params, seed)
    first = next(batches)
    size = sum(item.numel() * item.element_size() for item in first.values())
    steps = min(steps_within(task, params, seed, WORK, STEPS), max(3, MAX_HELD // max(1, size)))
    return [first, *islice(batches, steps - 1)]


def _trained(job: Job, task: PyTorchTask, batches: Sequence[Batch], change: Change) -> float | None:
    """Train on changed inputs; the mean loss of the last third of the steps."""
    job.network.train()
    losses = [one_step(job, change(batch), targets_of(task, batch)) for batch in batches]
    late = losses[-max(1, len(losses) // 3) :]
    return math.fsum(late) / len(late) if all(math.isfinite(value) for value in late) else None


def _zeroed(names: tuple[str, ...]) -> Change:
    return lambda batch: {name: torch.zeros_like(item) if name in names else item for name, item in batch.items()}


def _shuffled(names: tuple[str, ...]) -> Change:
    """Every sample with the inputs of the one before it: the same inputs, of no use for the targets."""
    return lambda batch: {name: item.roll(1, dims=0) if name in names else item for name, item in batch.items()}


@torch.no_grad()
def _sensitivities(job: Job, batch: Batch, names: tuple[str, ...]) -> dict[str, float]:
    """By input field, how much the output changes where every sample gets another one's: relative to the output.

    A field that is the same for all samples says nothing and is left out, as is a model that fails.
    """
    job.network.eval()
    found = {}
    try:
        with_seed = torch.random.get_rng_state()
        before = _flat(job.outputs(batch))
        for name in names:
            moved = batch[name].roll(1, dims=0)
            if torch.equal(moved, batch[name]):
                continue
            torch.random.set_rng_state(with_seed)
            after = _flat(job.outputs({**batch, name: moved}))
            size = float(before.norm()) or float(after.norm())
            change = float((after - before).norm())
            if math.isfinite(change) and math.isfinite(size):
                found[name] = change / size if size > 0 else 0.0
    except Exception:  # the user's model in evaluation mode, or on samples that do not belong together
        return found
    finally:
        job.network.train()
    return found


@torch.no_grad()
def _of_heads(job: Job, batch: Batch, names: tuple[str, ...]) -> dict[str, float]:
    """By loss that takes one output by its name, how much that changes where all samples get another one's inputs."""
    named = {loss.name: loss.output for loss in job.losses if loss.output is not None}
    if not named:
        return {}
    job.network.eval()
    try:
        with_seed = torch.random.get_rng_state()
        before = job.outputs(batch)
        torch.random.set_rng_state(with_seed)
        after = job.outputs({**batch, **{name: batch[name].roll(1, dims=0) for name in names}})
        pairs = {name: (_flat(before[key]), _flat(after[key])) for name, key in named.items()}
    except Exception:  # see _sensitivities
        return {}
    finally:
        job.network.train()
    return {name: float((new - old).norm()) / (float(old.norm()) or 1.0) for name, (old, new) in pairs.items()}


def _flat(output: Any) -> Tensor:
    """All numbers of an output as one vector."""
    items = [item.detach().double().flatten() for item in tensors_of(output).values()]
    return torch.cat(items) if items else torch.zeros(0)


def _batch_fit(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """Train on one batch, today's learning rate first, until one of them fits it."""
    with seeded(seed, task.device):
        # Of a sample alone the best constant is perfect: it takes several to say that their inputs were used.
        count = min(len(task.data.train), max(FIT_SAMPLES, params.batch_size))
        batch = next(task.batches(replace(params, batch_size=count), seed))
        constant = _constant(task, params, seed, batch)
        steps = steps_within(task, replace(params, batch_size=count), seed, WORK, FIT_STEPS)
    tried: list[dict[str, Any]] = []
    for factor in FACTORS:
        with seeded(seed, task.device):
            tried.append(_fit_at(task, replace(params, lr=params.lr * factor), batch, steps))
        last = tried[-1]["last"]
        if constant is not None and last is not None and last < FITTED * constant:
            break
    ended = [item for item in tried if item["last"] is not None]
    best = min(ended, key=lambda item: float(item["last"]), default=tried[0])
    return {**best, "constant": constant, "tried": tried}


def _constant(task: PyTorchTask, params: Params, seed: int, batch: Batch) -> float | None:
    job, targets = task.job(params), targets_of(task, batch)
    output = job.outputs(batch)
    ties = ties_of(task, params, seed, output, targets)
    found = best_constants(job.losses, output, targets, targets, ties=ties)
    weights = weights_of(job)
    parts = [None if value is None else weights[name] * value for name, value in found.items()]
    return None if None in parts else math.fsum(part for part in parts if part is not None)


def _fit_at(task: PyTorchTask, params: Params, batch: Batch, steps: int) -> dict[str, Any]:
    job = task.job(params)
    targets = targets_of(task, batch)
    job.network.train()
    losses: list[float] = []
    while len(losses) < steps:
        losses.append(one_step(job, batch, targets))
        if not math.isfinite(losses[-1]):
            break
    last = losses[-1] if math.isfinite(losses[-1]) else None
    return {"lr": params.lr, "steps": len(losses), "first": losses[0], "last": last}
