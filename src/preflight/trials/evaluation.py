"""Validation of a job: losses weighted by samples, the metric in its own units, and the score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from preflight.tasks.base import Job, Task
from preflight.tasks.data import spread
from preflight.tasks.outputs import joined


@dataclass(frozen=True)
class Evaluation:
    """Losses by name, unweighted, as they are trained; score relative to the best constant predictors; metric in its
    own units. ``original`` are the losses in the targets' own units, which scores are made of.
    """

    losses: dict[str, float]
    score: float
    metric: float
    original: dict[str, float]

    def columns(self) -> dict[str, float]:
        """As the ``val_`` columns of losses.csv."""
        named = {f"val_{name}": value for name, value in self.losses.items()}
        return {**named, "val_score": self.score, "val_metric": self.metric}


@torch.no_grad()
def evaluate(job: Job, task: Task, references: Mapping[str, float], samples: int, batch_size: int) -> Evaluation:
    """Evaluate on at most ``samples`` validation samples, spread evenly over the split."""
    source = task.data.validation
    indices = spread(len(source), samples)
    training = job.network.training
    job.network.eval()
    is_scaled = any(loss.normalizer is not None for loss in job.losses)
    losses = (*job.losses, *task.losses) if is_scaled else job.losses
    sums: list[Tensor] = []
    outputs, targets = [], []
    for part in indices.split(batch_size):
        batch = source.batch(part.to(job.device) if hasattr(source, "tensors") else part)
        output = job.outputs(batch)
        target = {name: batch[name] for name in task.data.roles.targets}
        values = [loss(output, target).detach().double() for loss in losses]
        sums.append(len(part) * torch.stack(values))
        outputs.append(output)
        targets.append(target)
    job.network.train(training)
    means = (torch.stack(sums).sum(dim=0) / len(indices)).tolist()
    names = [loss.name for loss in job.losses]
    trained, original = (dict(zip(names, part, strict=True)) for part in (means[: len(names)], means[-len(names) :]))
    metric = math.nan
    if task.has_metric:  # outputs of some models, [T, B, C] or scalars, cannot be joined along the first axis
        metric = task.metric(joined(outputs), {name: torch.cat([t[name] for t in targets]) for name in targets[0]})
    return Evaluation(trained, score(original, references), metric, original)


def score(losses: Mapping[str, float], references: Mapping[str, float]) -> float:
    """Mean over the references of ``1 + (value - reference) / |reference|``: value / reference where that is positive.

    Weights, units and batch sizes of a trial do not enter, so that any two trials of a task compare. A loss without a
    reference counts as long as it is finite: NaN of any of them stays NaN.
    """
    parts = [1 + (losses[name] - value) / max(abs(value), 1e-12) for name, value in references.items()]
    is_finite = all(math.isfinite(value) for value in (*losses.values(), *parts))
    return math.fsum(parts) / len(parts) if is_finite else math.nan
