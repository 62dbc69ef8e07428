"""What flawed data does to a batch that holds it: harm, or nothing, since model and losses cope with it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from preflight.core.errors import RefusedError
from preflight.core.params import Params
from preflight.probes.fit import one_line
from preflight.probes.flaws import TRAINING, Flaw, advice, by_field, rule_of, told
from preflight.tasks.base import Task
from preflight.tasks.data import Source
from preflight.tasks.seeding import seeded


def check_flaws(task: Task, params: Params, seed: int, flaws: Iterable[Flaw]) -> tuple[str, ...]:
    """A sentence for every field with flaws that model and losses cope with: they may be meant.

    Raises :class:`RefusedError` where a batch that holds them has a loss or a gradient that is not finite: every run
    would diverge there.
    """
    notes = []
    for (split, _), found in by_field(flaws).items():
        what = told(found, params)
        with seeded(seed, task.device):
            harm = _harm(task, params, split, _numbers(found))
        if harm:
            raise RefusedError(f"{what}: {harm}. {advice(found)}", rule_of(found))
        notes.append(f"{what}: the losses are finite with it, so it stays; statistics leave it out")
    return tuple(notes)


def _harm(task: Task, params: Params, split: str, numbers: list[int]) -> str:
    """What goes wrong with a batch that holds the samples ``numbers``; nothing if all is finite."""
    source = task.data.train if split == TRAINING else task.data.validation
    job = task.job(params)
    job.network.train(split == TRAINING)
    batch = source.batch(filled(numbers, source, params.batch_size))
    targets = {name: batch[name] for name in task.data.roles.targets}
    try:
        output = job.outputs(batch)
        values = [loss(output, targets) for loss in job.losses]
        if split == TRAINING:
            torch.stack([value.float() for value in values]).sum().backward()
    except Exception as error:  # the user's model or loss may refuse them
        return f"with it the task fails: {one_line(error)}"
    for loss, value in zip(job.losses, values, strict=True):
        if not bool(value.isfinite()):
            return f"with it the loss '{loss.name}' is {value.item()}, before any training"
    for name, parameter in job.parameters:
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            return f"with it the gradient of '{name}' is not finite, before any training"
    return ""


def _numbers(flaws: Iterable[Flaw]) -> list[int]:
    """Samples with flaws, the first one of every feature before all others."""
    flaws = list(flaws)
    return list(dict.fromkeys([flaw.samples[0] for flaw in flaws] + [n for flaw in flaws for n in flaw.samples]))


def filled(numbers: Sequence[int], source: Source, batch_size: int) -> Tensor:
    """A batch of the given samples and, where there is room, the first others: batch norm needs more than one."""
    others = (number for number in range(len(source)) if number not in numbers)
    return torch.tensor(list(itertools.islice(itertools.chain(numbers, others), batch_size)))
