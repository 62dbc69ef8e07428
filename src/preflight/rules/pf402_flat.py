"""PF402: a loss that goes nowhere."""

from __future__ import annotations

import math

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, NotApplicable, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.ladder_facts import raised_rate
from preflight.rules.levels import (
    FALL,
    MIN_STEPS,
    constant_total,
    is_falling,
    keeps_falling,
    known,
    level_of,
    loss_facts,
)
from preflight.rules.predicates import Array
from preflight.rules.saved_losses import SAVED_EPOCHS, SPAN, epochs_of, has_no_steps, is_level, whole_losses
from preflight.rules.series import HISTORY, LOG, Series, is_rising, saved_series, spoken
from preflight.telemetry.metric_names import COST, GAIN
from preflight.telemetry.recording import Recording

CHANGE = Threshold(
    "CHANGE",
    0.02,
    "of the early level, noise included: what changes less is flat",
    "runs that learn fall by more within tens of steps; the field case whose owner called it flat fell by 0.05%",
)
LEARNED = Threshold(
    "LEARNED",
    0.9,
    "of the best constant predictor's loss: a run that begins below has learned before",
    "a network without training is no better than the best constant, but for luck",
)
MOVED = Threshold(
    "MOVED",
    1e-3,
    "of their norm is all that the weights moved: then the steps are too small",
    "networks that learn move by a tenth and more",
)
RAMPED = 0.3  # of the peak learning rate: a recording that ends below it has seen warmup only


def change_of(losses: Array) -> float:
    """Largest change of ``losses[T]`` from its first tenth to its second half that noise leaves possible, relative."""
    early, late = level_of(losses[: max(5, len(losses) // 10)]), level_of(losses[len(losses) // 2 :])
    noise = 2 * math.hypot(early.error, late.error)
    if not losses.any():
        return 0.0
    return (abs(late.mean - early.mean) + noise) / abs(early.mean) if early.mean else math.inf


def check(recording: Recording) -> Answer:
    """Judge the weighted sum that is trained on, and what validation there is."""
    if has_no_steps(recording):
        return _judge_saved(recording)
    losses = known(recording.column("losses", "total"))
    if len(losses) < MIN_STEPS.value:
        return NotApplicable(f"{len(losses)} steps are too few to tell: it takes {MIN_STEPS.value:g}")
    if not np.isfinite(losses).all() or _only_warmed_up(recording) or _had_learned(recording, losses):
        return Clean()
    change = change_of(losses)
    if change > CHANGE.value or keeps_falling(losses) or is_falling(_validation(recording)):
        return Clean()
    reason, remedy = _reason(recording)
    return Finding(
        ERROR if reason else WARNING,
        f"over {len(losses)} steps the loss stays within {change:.2%} of {losses[: len(losses) // 10].mean():.4g}"
        + (f": {reason}" if reason else ""),
        (Evidence("largest change that the noise leaves possible", change, CHANGE.value),),
        (remedy,),
        where="total",
        strength=min(100.0, CHANGE.value / max(change, 1e-9)),
    )


def _judge_saved(recording: Recording) -> Answer:
    """Judge a history or a log from the first epoch on: all losses are level, and no metric gets or is any good."""
    losses = whole_losses(recording)
    if (epochs := epochs_of(losses)) < SAVED_EPOCHS.value:
        return NotApplicable(f"{epochs} epochs are too few to tell: it takes {SAVED_EPOCHS.value:g}")
    begins = min(float(np.nanmin(item.epochs)) for item in losses if np.isfinite(item.epochs).any())
    metrics = saved_series(recording, HISTORY, LOG)
    if begins >= 2 or any(map(_is_good, metrics)) or not all(is_level(item.values) for item in losses):
        return Clean()
    said = " and ".join(
        f"{item.name} goes from {spoken(item.values[0])} to {spoken(item.values[-1])}" for item in losses
    )
    return Finding(
        WARNING,
        f"over {epochs} epochs {said}, {', '.join(f'{_gain(item):+.2%}' for item in losses)}: nothing is learned, "
        "unless all was before the first of them",
        tuple(
            Evidence(
                f"span of {item.name}, relative", float(np.ptp(item.values) / np.abs(item.values).max()), SPAN.value
            )
            for item in losses
        ),
        (Remedy("look at the learning rate, at frozen parts, and at losses whose scale drowns the others"),),
        where=losses[0].name,
    )


def _is_good(metric: Series) -> bool:
    """Whether it gets better, or most is right already."""
    if metric.meaning.kind == COST:
        return is_rising(-metric.values)
    most = 50 if metric.values.max() > 1 else 0.5
    return metric.meaning.kind == GAIN and (is_rising(metric.values) or float(np.median(metric.values)) > most)


def _gain(loss: Series) -> float:
    return float((loss.values[-1] - loss.values[0]) / abs(loss.values[0]))


def _validation(recording: Recording) -> Array:
    try:
        return known(recording.column("losses", "val_score"))
    except MissingError:
        return np.zeros(0)


def _only_warmed_up(recording: Recording) -> bool:
    try:
        applied, peak = recording.column("learning_rates", "lr_group0"), recording.setting("lr")
    except MissingError:
        return False
    return isinstance(peak, int | float) and 0 < float(np.nanmax(applied)) < RAMPED * float(peak)


def _had_learned(recording: Recording, losses: Array) -> bool:
    """Whether it started from weights that were trained before: it lies below every constant all along."""
    try:
        facts = loss_facts(recording)
    except MissingError:
        return False
    constant = constant_total(facts)
    if constant is None:
        return False
    return float(losses.mean()) < constant - (1 - LEARNED.value) * abs(constant)


def _reason(recording: Recording) -> tuple[str, Remedy]:
    """Why nothing moves, where the recording tells."""
    if not known(recording.column("losses", "total")).any():
        return (
            "it asks nothing of the model from the first step on",
            Remedy("look at the loss: a margin of the wrong sign or size, a mask or a weight that leaves nothing"),
        )
    try:
        norms = recording.column("gradient_norms", "overall")
        if not (norms > 0).any():
            return "the gradient is zero at every step", Remedy("see which operation cuts the gradient off")
        lrs = recording.column("learning_rates", "lr_group0")
        if not (lrs > 0).any():
            return "the learning rate is zero at every step", Remedy("set a learning rate above zero")
    except MissingError:
        pass
    moved = _moved(recording)
    if moved is not None and moved < MOVED.value:
        settings = raised_rate(recording, 10)
        return f"all steps together moved the weights by {moved:.2g} of their norm", Remedy("raise the lr", settings)
    return "", Remedy("look for the cause among the other findings: learning rate, head, inputs, frozen parts")


def _moved(recording: Recording) -> float | None:
    """Sum of all changes of the weights over their norm, None where neither was recorded."""
    try:
        moves, norms = (recording.column("parameters", name) for name in ("update_total", "first_weight_norm"))
    except MissingError:
        return None
    total = float(np.sqrt((norms**2).sum()))
    return float(np.sqrt((moves**2).sum())) / total if total > 0 else None


RULE = Rule(
    code="PF402",
    name="flat-loss",
    title="The loss is flat",
    detects="From its first tenth to its second half the training loss changes by less than CHANGE, the noise of the "
    "batches included, it shows no fall of FALL by ranks, and it had not been learned before. Of a history or a log "
    "from the first epoch on: all losses stay within SPAN, and no metric gets better or is good.",
    matters="Steps are spent and nothing is learned; waiting longer does not help.",
    fix="A flat loss is a symptom: look at the learning rate, at parts without a gradient, at the head and the inputs.",
    check=check,
    thresholds=(CHANGE, FALL, LEARNED, MOVED, MIN_STEPS, SPAN, SAVED_EPOCHS),
)
