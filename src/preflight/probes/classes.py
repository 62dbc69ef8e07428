"""Labels that a loss refuses: below zero, or beyond the classes that the model answers with."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from preflight.core.errors import RefusedError
from preflight.core.params import Params
from preflight.probes.fit import one_line
from preflight.probes.flaws import MAX_SAMPLES, TRAINING, VALIDATION
from preflight.probes.harm import filled
from preflight.probes.untouched import untouched
from preflight.tasks.base import NamedLoss, Task, pick_target
from preflight.tasks.data import Batch, InMemory, Source
from preflight.tasks.outputs import mapped
from preflight.tasks.seeding import seeded

RULE = "PF310"
MAX_VALUES = 8
"""Different values that a loss is tried with: the lowest and the highest of those that may be wrong."""


@dataclass(frozen=True)
class _Suspects:
    """Labels that are no class of ``count``, by value the samples that have it (the first few) and how many do."""

    target: str
    count: int
    samples: dict[int, tuple[list[int], int]]
    lowest: int
    highest: int

    def said(self, value: int) -> str:
        """``7 in sample 10``."""
        shown, total = self.samples[value]
        first = ", ".join(map(str, shown))
        where = f"sample {first}" if total == 1 else f"samples {first}"
        return f"{value} in {where if total == len(shown) else f'{total} samples, the first {first}'}"


def check_classes(task: Task, params: Params, seed: int, looked_at: Sequence[tuple[Tensor, Batch]]) -> None:
    """Raises :class:`RefusedError` for labels of either split that a loss fails with, and without which it does not.

    ``looked_at`` are the samples of both splits that are loaded already: all that is asked of data out of memory. A
    value that stands for "leave this out" (``ignore_index``) is one that the loss takes.
    """
    for split, seen in zip((TRAINING, VALIDATION), looked_at, strict=True):
        for loss in task.losses:
            with seeded(seed, task.device):
                _check(task, params, split, seen, loss)


def _check(task: Task, params: Params, split: str, seen: tuple[Tensor, Batch], loss: NamedLoss) -> None:
    source = task.data.train if split == TRAINING else task.data.validation
    target = loss.target or (task.data.roles.targets[0] if len(task.data.roles.targets) == 1 else None)
    if target not in seen[1] or not _is_whole(seen[1][target]):
        return
    numbers, labels = _labels(source, seen, target)
    first = filled([0], source, params.batch_size)
    count = _classes(_output(task, params, split, source, first), loss, source.batch(first)[target])
    suspects = None if count is None else _suspects(target, count, labels, numbers)
    if suspects is None:
        return
    asked = filled([suspects.samples[value][0][0] for value in suspects.samples], source, params.batch_size)
    output, batch = _output(task, params, split, source, asked), source.batch(asked)
    if output is None:
        return
    targets = {name: batch[name].cpu() for name in task.data.roles.targets}
    reasons = {value: _refusal(loss, output, targets, suspects, value) for value in suspects.samples}
    refused = {value: reason for value, reason in reasons.items() if reason}
    if refused:
        raise RefusedError(_told(split, loss, suspects, refused), RULE)


def _is_whole(labels: Tensor) -> bool:
    return not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool) and labels.numel() > 0


def _labels(source: Source, seen: tuple[Tensor, Batch], target: str) -> tuple[Tensor, Tensor]:
    """Numbers of samples and their labels ``[N, P]``: of all there are in memory, else of those that were looked at."""
    if isinstance(source, InMemory):
        return torch.arange(len(source)), source.tensors[target].cpu().reshape(len(source), -1)
    return seen[0], seen[1][target].cpu().reshape(len(seen[0]), -1)


@torch.no_grad()
def _output(task: Task, params: Params, split: str, source: Source, numbers: Tensor) -> Any:
    """The model's output on some samples, on the CPU, since a GPU survives no label that is out of range; None where
    it fails, which is said elsewhere.
    """
    job = task.job(params)
    job.network.eval()
    try:
        with untouched(job.network) if split == TRAINING else nullcontext():
            return mapped(job.outputs(source.batch(numbers)), lambda item: item.detach().cpu())
    except Exception:  # the user's model
        return None


def _classes(output: Any, loss: NamedLoss, labels: Tensor) -> int | None:
    """Classes of ``output[B, C, ...]`` or ``output[B, ..., C]`` for labels ``[B, ...]``, which may end in an axis of
    one; None for outputs unlike that.
    """
    chosen = output if loss.output is None or not isinstance(output, Mapping) else output.get(loss.output)
    if not isinstance(chosen, Tensor) or not chosen.is_floating_point() or chosen.ndim < 2:
        return None
    shapes = (labels.shape, labels.shape[:-1] if labels.shape[-1] == 1 else labels.shape)
    return next((int(chosen.shape[axis]) for axis in (1, -1) if chosen.select(axis, 0).shape in shapes), None)


def _suspects(target: str, count: int, labels: Tensor, numbers: Tensor) -> _Suspects | None:
    values = labels[(labels < 0) | (labels >= count)].unique().tolist()
    if not values:
        return None
    half = MAX_VALUES // 2
    chosen = values if len(values) <= MAX_VALUES else [*values[:half], *values[-half:]]
    samples = {}
    for value in chosen:
        found = numbers[(labels == value).any(dim=1)].tolist()
        samples[int(value)] = found[:MAX_SAMPLES], len(found)
    return _Suspects(target, count, samples, int(labels.min()), int(labels.max()))


def _refusal(loss: NamedLoss, output: Any, targets: Batch, suspects: _Suspects, value: int) -> str:
    """What the loss says of a label, where it takes the same output with a class in its place; else nothing."""
    labels = targets[suspects.target]
    is_wrong = (labels < 0) | (labels >= suspects.count)
    sound = labels.masked_fill(is_wrong, 0)
    if _failure(loss, output, {**targets, suspects.target: sound}):
        return ""  # it fails anyway: the fit of a batch says so
    return _failure(loss, output, {**targets, suspects.target: torch.where(labels == value, labels, sound)})


@torch.no_grad()
def _failure(loss: NamedLoss, output: Any, targets: Batch) -> str:
    try:
        function = copy.deepcopy(loss.function).cpu() if isinstance(loss.function, nn.Module) else loss.function
        chosen = output if loss.output is None else output[loss.output]
        function(chosen, pick_target(targets, loss.target))
    except Exception as error:  # the user's loss
        return one_line(error)
    return ""


def _told(split: str, loss: NamedLoss, suspects: _Suspects, refused: dict[int, str]) -> str:
    values = ", ".join(suspects.said(value) for value in refused)
    reason = next(iter(refused.values())).rstrip(".")
    advice = "Correct these labels or drop the samples, or give the model an output for each class"
    if suspects.lowest == 1 and suspects.highest == suspects.count:
        advice = "The labels begin at 1: take 1 off them"
    elif min(refused) < 0:
        advice += "; a value that means 'leave this out' has to be the loss's own ignore_index (-100 by default)"
    return (
        f"in the {split} data, target '{suspects.target}' is {values}, and the model gives the loss '{loss.name}' "
        f"{suspects.count} classes, 0 to {suspects.count - 1}: with that label it fails: {reason}. {advice}"
    )
