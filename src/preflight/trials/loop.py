"""The training loop of a trial: no files, no printing, no search."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from preflight.core.errors import PreflightError
from preflight.tasks.base import Job, Task
from preflight.tasks.data import Batch
from preflight.tasks.memory import is_out_of_memory
from preflight.tasks.schedules import Curve, lr_factor
from preflight.telemetry.recorder import Recorder
from preflight.trials.balancing import Balance, Balancing, Weighting, make_weighting
from preflight.trials.divergence import find_divergence, with_samples
from preflight.trials.evaluation import Evaluation, evaluate
from preflight.trials.noise import NoiseMoment, batches_within, measure_noise
from preflight.trials.outcome import COMPLETED, CRASHED, DIVERGED, INTERRUPTED, OUT_OF_MEMORY, PRUNED, Outcome


@dataclass(frozen=True)
class Plan:
    """Length and measure of a trial: steps, schedule, steps after which it is evaluated, what scores relate to.

    ``schedule`` is one of preflight's, or the curve of the user's own. ``seed`` is that of the order of its batches.
    Without ``balancing`` the losses are weighted as the settings say. ``noise_at`` are steps after which the gradient
    noise scale is measured, which changes nothing of the training.
    """

    steps: int
    schedule: str | Curve
    rungs: tuple[int, ...]
    references: Mapping[str, float]
    validation_samples: int
    validation_batch_size: int
    seed: int
    balancing: Balancing | None = None
    noise_at: tuple[int, ...] = ()


@dataclass
class Progress:
    """What a trial has measured so far; complete up to the last flush even if the trial ends by an exception."""

    evaluations: dict[int, Evaluation]
    steps_done: int = 0
    balance: Balance | None = None
    noise: list[NoiseMoment] = field(default_factory=list)


# What may come out of the user's model, data, losses or metric: a script may end itself, and Ctrl-C comes anywhere.
ENDINGS = (Exception, KeyboardInterrupt, SystemExit)

# Asked at every rung with (steps done, evaluation): whether the trial is hopeless.
Hopeless = Callable[[int, Evaluation], bool]


def rungs(steps: int, count: int) -> tuple[int, ...]:
    """``count`` evenly spaced step counts, the last one at the end."""
    return tuple(sorted({max(1, round(steps * (index + 1) / count)) for index in range(count)}))


def train(
    job: Job, task: Task, batches: Iterator[Batch], plan: Plan, recorder: Recorder, hopeless: Hopeless
) -> tuple[Outcome, Progress]:
    """Run a trial to its end, whatever that is; the user's exceptions become outcomes."""
    progress = Progress({})
    try:
        outcome = _steps(job, task, batches, plan, recorder, hopeless, progress)
    except ENDINGS as error:
        outcome = ended_by(error, job.params.batch_size, progress.steps_done)
    diverged = _flush(job, task, plan, recorder) if recorder.pending else None
    if diverged is not None and outcome.status == CRASHED:
        # A user's own assertion that outputs are finite says less than the step at which they ceased to be.
        outcome = replace(diverged, traceback=outcome.traceback)
    return outcome, progress


def _steps(
    job: Job,
    task: Task,
    batches: Iterator[Batch],
    plan: Plan,
    recorder: Recorder,
    hopeless: Hopeless,
    progress: Progress,
) -> Outcome:
    weighting = make_weighting(job, plan.balancing)
    job.network.train()
    _measure(job, task, plan, progress)
    for step in range(plan.steps):
        _one_step(job, task, next(batches), step, plan, weighting, recorder)
        progress.steps_done = step + 1
        at_rung = progress.steps_done in plan.rungs
        if recorder.full or at_rung or progress.steps_done == plan.steps:
            diverged = _flush(job, task, plan, recorder)
            if diverged is not None:
                return diverged
        if at_rung:
            evaluation = evaluate(job, task, plan.references, plan.validation_samples, plan.validation_batch_size)
            progress.evaluations[step] = evaluation
            if not math.isfinite(evaluation.score):
                return Outcome(DIVERGED, "the validation loss is not finite", step=step, culprit=_worst(evaluation))
            if progress.steps_done < plan.steps and hopeless(progress.steps_done, evaluation):
                return Outcome(PRUNED, f"hopeless after {progress.steps_done} of {plan.steps} steps", step=step)
        _measure(job, task, plan, progress)
    progress.balance = weighting.balance()
    return Outcome(COMPLETED)


def _measure(job: Job, task: Task, plan: Plan, progress: Progress) -> None:
    """Measure the noise scale where it is wanted; on other samples each time."""
    step = progress.steps_done
    if step in plan.noise_at:
        progress.noise.append(measure_noise(job, task, plan.seed + step, step, batches_within(plan.steps)))


def _one_step(
    job: Job, task: Task, batch: Batch, step: int, plan: Plan, weighting: Weighting, recorder: Recorder
) -> None:
    lrs = _rates(job, plan, step)
    for group, lr in zip(job.optimizer.param_groups, lrs, strict=True):
        group["lr"] = lr
    job.optimizer.zero_grad(set_to_none=True)
    output = job.outputs(batch)
    targets = {name: batch[name] for name in task.data.roles.targets}
    losses = [loss(output, targets) for loss in job.losses]
    weights = weighting.weights(losses)
    total: Tensor = sum(
        (w * loss for w, loss in zip(weights, losses, strict=True)), start=torch.zeros((), device=job.device)
    )
    total.backward()
    recorder.gradients(total, losses, lrs)
    if job.params.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_([item for _, item in job.parameters], job.params.clip_norm)
    job.optimizer.step()
    recorder.updated()


def _rates(job: Job, plan: Plan, step: int) -> list[float]:
    """Rate of every group. A warmup multiplies the user's own curve, which holds a warmup of its own already."""
    curve, warmup = plan.schedule, job.params.warmup_fraction
    if isinstance(curve, str):
        factor = lr_factor(step, plan.steps, warmup, curve)
        return [job.params.lr * ratio * factor for ratio in job.lr_ratios]
    ramp = lr_factor(step, plan.steps, warmup, "constant")
    factors = curve.at(step, plan.steps, job.lr_ratios)
    return [job.params.lr * ratio * own * ramp for ratio, own in zip(job.lr_ratios, factors, strict=True)]


def _flush(job: Job, task: Task, plan: Plan, recorder: Recorder) -> Outcome | None:
    """Move what was recorded to the host; where it diverged, if it did."""
    diverged = find_divergence(recorder.flush(), recorder.layout)
    return None if diverged is None else with_samples(diverged, task.data, job.params, plan.seed)


def _worst(evaluation: Evaluation) -> str | None:
    return next((name for name, value in evaluation.losses.items() if not math.isfinite(value)), None)


def ended_by(error: BaseException, batch_size: int, step: int) -> Outcome:
    """What an exception makes of a trial; to be called where it is caught."""
    if isinstance(error, KeyboardInterrupt):
        return Outcome(INTERRUPTED, "stopped by the user", step=step)
    if any(is_out_of_memory(cause) for cause in _causes(error)):
        return Outcome(OUT_OF_MEMORY, _memory_advice(batch_size, error), step=step)
    if isinstance(error, PreflightError):
        return Outcome(CRASHED, str(error), step=step)
    text = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    return Outcome(CRASHED, text, step=step, traceback=traceback.format_exc())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _memory_advice(size: int, error: BaseException) -> str:
    advice = f"batch_size={size} does not fit"
    if size > 1:
        advice += f"; try {size // 2}"
    return f"{advice} ({next(iter(str(error).splitlines()), 'out of memory')})"
