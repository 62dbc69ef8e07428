"""What scores relate to: which losses are scored, and what they are before training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from preflight.core.errors import TaskError
from preflight.core.settings import Settings
from preflight.pipeline.today import Today
from preflight.probes.constant import Tie, free
from preflight.probes.fit import one_line
from preflight.probes.penalty import is_penalty
from preflight.probes.sense import ENDLESS
from preflight.probes.splits import differences
from preflight.tasks.data import Batch, spread
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded
from preflight.trials.evaluation import Evaluation, evaluate

TARGET_SAMPLES = 2048
Samples = tuple[torch.Tensor, Batch]


def known_constants(constants: Mapping[str, float | None]) -> dict[str, float]:
    """Those that could be fitted."""
    return {name: value for name, value in constants.items() if value is not None}


def scored_losses(
    task: PyTorchTask, output: Any, targets: Batch, ties: Mapping[str, Tie]
) -> tuple[list[str], list[str]]:
    """Losses that tell how well the task is learned, and notes on the others."""
    penalties = [loss.name for loss in task.losses if is_penalty(loss, output, targets, ties.get(loss.name, free))]
    if len(penalties) == len(task.losses):
        return penalties, []
    notes = [
        f"the loss '{name}' asks nothing of the data: a constant output satisfies it as well as any other. It is "
        "trained with today's weight, and stays out of the score"
        for name in penalties
    ]
    return [loss.name for loss in task.losses if loss.name not in penalties], notes


def training_targets(task: PyTorchTask, samples: Samples) -> Batch:
    """Targets that constants are fitted to."""
    numbers, batch = samples
    some = spread(len(numbers), TARGET_SAMPLES)
    return {name: batch[name][some] for name in task.data.roles.targets}


def validation_targets(settings: Settings, task: PyTorchTask, samples: Samples, batch_size: int) -> Batch:
    """Targets in the order of a trial's validation; of large samples fewer, and full batches alone where that goes."""
    numbers, batch = samples
    wanted = min(settings.budget.validation_samples, len(task.data.validation))
    count = min(wanted, len(numbers))
    if count < wanted:
        count -= count % batch_size if count > batch_size else 0
    some = spread(len(numbers), count)
    return {name: batch[name][some] for name in task.data.roles.targets}


def doubts(task: PyTorchTask, begin: Evaluation, without_end: Sequence[str], satisfied: Sequence[str]) -> list[str]:
    """What will not tell how well the training goes."""
    notes = [
        f"the loss '{name}' falls without end: some constant output brings it below {-ENDLESS:.0e} times its value "
        "before training. Scores relate to its value before training, and a lower one need not be better"
        for name in without_end
    ]
    notes += [
        f"the loss '{name}' is next to nothing for some constant output, which no model of this kind may give. Scores "
        "relate to the constants that it begins with"
        for name in satisfied
        if name not in without_end
    ]
    metric = task.settings.metric
    if metric is not None and not math.isfinite(begin.metric):
        notes.append(
            f"the metric '{metric.name}' is {begin.metric} on the validation data before training: where it stays so, "
            "it says nothing, and nothing is decided by it"
        )
    return notes


def before_training(settings: Settings, task: PyTorchTask, today: Today) -> Evaluation:
    """The validation of a network that has not trained; raises :class:`TaskError` where that fails."""
    with seeded(settings.seed, task.device):
        job = task.job(today.params)
        ones = {loss.name: 1.0 for loss in task.losses}
        try:
            return evaluate(job, task, ones, settings.budget.validation_samples, today.params.batch_size)
        except Exception as error:  # the user's model in evaluation mode, or the metric on all of the samples
            roles, first = task.data.roles, torch.zeros(1, dtype=torch.long)
            clue = differences(roles, task.data.train.batch(first), task.data.validation.batch(first))
            raise TaskError(f"the validation fails: {one_line(error)}{clue}") from error
