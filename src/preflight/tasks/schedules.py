"""Learning-rate schedules as factors of the peak: preflight's own, and a user's scheduler replayed without training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from preflight.core.model_settings import INTERVALS
from preflight.core.params import Params
from preflight.core.units import RunLength
from preflight.tasks.base import Task
from preflight.tasks.seeding import seeded

Array = npt.NDArray[np.float64]


def lr_factor(step: int, steps: int, warmup_fraction: float, schedule: str) -> float:
    """Factor in (0, 1] for optimizer step ``step`` (from 0) of a run of ``steps``.

    Linear warmup from one warmup step's share to the peak, then constant, or decaying to zero at the end of the run
    by a cosine (SGDR, arXiv 1608.03983) or a line. A warmup longer than the run never reaches the peak.
    """
    warmup = round(warmup_fraction * steps)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - progress if schedule == "linear" else 1.0


@dataclass(frozen=True, eq=False)
class Curve:
    """What a user's own scheduler makes of the learning rate over the long run.

    ``factors[T, G]`` relative to today's rate of the group, at each step and for each of the ``ratios[G]``.
    """

    ratios: tuple[float, ...]
    factors: Array

    def at(self, step: int, steps: int, ratios: Sequence[float]) -> list[float]:
        """Factors at ``step`` of a run of ``steps``, for groups of these ratios.

        A shorter run follows the whole curve, compressed: the mean over the part of it that the step stands for, so
        that the sum of the rates keeps its share. A run of the curve's own length follows it exactly.
        """
        total = len(self.factors)
        first = min(step * total // steps, total - 1)
        part = self.factors[first : max(first + 1, (step + 1) * total // steps)].mean(axis=0)
        # A normalizer that is trained may add a group of a ratio that today's model has not.
        known = dict(zip(self.ratios, part.tolist(), strict=True))
        return [known.get(ratio, part[0].item()) for ratio in ratios]


@dataclass(frozen=True, eq=False)
class Replay:
    """``lrs[A + 1, G]``: rate of each group after 0 to A advances; ``error`` is what a scheduler raised after that."""

    scheduler: LRScheduler
    ratios: tuple[float, ...]
    lrs: Array
    error: str | None = None

    def at_steps(self, steps: npt.NDArray[np.int64], unit: str, steps_per_epoch: int) -> Array:
        """Rates ``[T, G]`` at optimizer ``steps[T]``, if it is advanced once per ``unit``.

        The last rates stay where it could not be advanced so often.
        """
        rates: Array = self.lrs[np.minimum(steps // (1 if unit == "step" else steps_per_epoch), len(self.lrs) - 1)]
        return rates

    @property
    def is_free(self) -> bool:
        """Whether it needs nothing but being advanced: what follows a metric is not known before training."""
        return not isinstance(self.scheduler, ReduceLROnPlateau)


def replay(task: Task, params: Params, advances: int) -> Replay | None:
    """Advance the user's scheduler on a fresh job; None where the task has none. To be called with a seeded state.

    One that follows a metric is not advanced.
    """
    job = task.job(params)
    scheduler = task.scheduler(job.optimizer)
    if scheduler is None:
        return None
    found = Replay(scheduler, tuple(job.lr_ratios), np.empty((0, len(job.lr_ratios))))
    rates, error = [_rates(scheduler)], None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing is trained, so the optimizer has not stepped before it
        for _ in range(advances if found.is_free else 0):
            try:
                scheduler.step()
            except Exception as problem:  # OneCycleLR beyond its end, or the user's own
                error = f"{type(problem).__name__}: {problem}"
                break
            rates.append(_rates(scheduler))
    return Replay(scheduler, found.ratios, np.array(rates, dtype=np.float64), error)


def _rates(scheduler: LRScheduler) -> list[float]:
    return [float(group["lr"]) for group in scheduler.optimizer.param_groups]


def own_curves(task: Task, params: Params, length: RunLength) -> dict[str, Curve]:
    """Curves of the user's scheduler over the long run of today's ``params``, by the unit it is advanced in.

    Empty without one of its own.
    """
    found = {unit: _own_curve(task, params, length, unit) for unit in INTERVALS}
    return {unit: curve for unit, curve in found.items() if curve is not None}


def interval_of(task: Task, params: Params) -> str:
    """The unit in which ``params`` advance the task's own scheduler."""
    return params.scheduler_interval or task.scheduler_interval


def _own_curve(task: Task, params: Params, length: RunLength, unit: str) -> Curve | None:
    """The curve where it is advanced once per ``unit``.

    Only the learning rate is followed: a scheduler that changes the momentum too leaves it as it is. One that follows
    a metric stays at its initial rate.
    """
    epoch, steps = length.steps_per_epoch, length.horizon_steps
    with seeded(0, task.device):  # no rate depends on it, and nobody else's state may either
        found = replay(task, params, steps if unit == "step" else steps // epoch)
    if found is None:
        return None
    rates = found.at_steps(np.arange(steps), unit, epoch)
    return Curve(found.ratios, rates / (params.lr * np.array(found.ratios)))
