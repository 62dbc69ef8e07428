"""PF504: the loss gets better and the metric gets worse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.levels import loss_facts
from preflight.rules.predicates import Array
from preflight.rules.series import HISTORY, LOG, STEPS, TREND, Series, is_rising, losses_of, saved_series, spoken
from preflight.telemetry.metric_names import COST, GAIN, TRAIN, VALIDATION
from preflight.telemetry.recording import Recording

CHANGE = Threshold(
    "CHANGE",
    0.1,
    "of the larger of its early and late level is what both change by at least",
    "healthy metrics waver by less while the loss falls; a loss that rises beside a better accuracy is overconfidence "
    "(Guo et al., 2017), which is common and not meant here",
)
EPOCHS = Threshold("EPOCHS", 8, "epochs at least", "below that a trend is no more than noise")
SHORT = Threshold(
    "SHORT",
    0.1,
    "below the least accuracy that the cross-entropy allows",
    "whoever is wrong gave the right class at most half, which costs ln(2): of a loss L at most L / ln(2) are wrong; "
    "weights of classes move it by a few percent",
)
REMEDIES = (
    Remedy("compute the metric by hand for one batch: the axis of argmax, the threshold, the order of arguments"),
    Remedy("check that the loss and the metric see the same outputs and the same targets"),
)


def check(recording: Recording) -> Answer:
    """Judge every metric against the loss of its split."""
    series = saved_series(recording, HISTORY, LOG, STEPS)
    pairs = list(_pairs(series))
    if not pairs:
        raise MissingError("there is no split with both a loss and a metric whose better direction is known")
    short = [pair for pair in pairs if _is_cross_entropy(recording, pair[0]) and shortfall(*pair) > SHORT.value]
    if short:
        return _impossible(*short[0])
    found = [pair for pair in pairs if disagree(*pair)]
    if found:
        return _finding(*found[0])
    known = max(min(len(loss), len(metric)) for loss, metric in pairs)
    is_bounded = any(_is_cross_entropy(recording, pair[0]) and math.isfinite(shortfall(*pair)) for pair in pairs)
    if known < EPOCHS.value and not is_bounded:
        return too_few("what loss and metric share", known, EPOCHS.value, "epochs")
    return Clean()


def _pairs(series: Sequence[Series]) -> Iterator[tuple[Series, Series]]:
    """Whole loss and metric of the same split."""
    for split in (VALIDATION, TRAIN):
        losses = losses_of(series, split)
        metrics = [item for item in series if item.meaning.split == split and item.meaning.kind in (GAIN, COST)]
        if losses and (losses[0].meaning.key == "" or len(losses) == 1):
            yield from ((losses[0], metric) for metric in metrics)


def disagree(loss: Series, metric: Series) -> bool:
    """Whether the loss falls, and the metric gets worse, both steadily and by much."""
    if min(len(loss), len(metric)) < EPOCHS.value:
        return False
    worse = -metric.values if metric.meaning.kind == GAIN else metric.values
    return (
        is_rising(-loss.values)
        and is_rising(worse)
        and change(loss.values) < -CHANGE.value
        and change(worse) > CHANGE.value
    )


def _is_cross_entropy(recording: Recording, loss: Series) -> bool:
    """Whether a probe knows it as one, among others or as the only loss."""
    try:
        facts = loss_facts(recording)
    except MissingError:
        return False
    known = facts.get(loss.meaning.key) or (next(iter(facts.values())) if len(facts) == 1 else {})
    return known.get("kind") == "cross_entropy"


def shortfall(loss: Series, accuracy: Series) -> float:
    """By how much the last accuracy lies below the least that the last loss allows; -inf for what is no accuracy."""
    if accuracy.meaning.kind != GAIN or accuracy.meaning.key != "top1" or accuracy.values.max() > 1:
        return -math.inf
    return 1 - float(loss.values[-1]) / math.log(2) - float(accuracy.values[-1])


def change(values: Array) -> float:
    """From the median of the first quarter to that of the last, relative to the larger of them."""
    size = max(2, len(values) // 4)
    early, late = float(np.median(values[:size])), float(np.median(values[-size:]))
    return (late - early) / max(abs(early), abs(late), 1e-300)


def _finding(loss: Series, metric: Series) -> Finding:
    moved = [f"from {spoken(item.values[0])} to {spoken(item.values[-1])}" for item in (loss, metric)]
    return Finding(
        WARNING,
        f"{loss.name} falls {moved[0]} while {metric.name} gets worse, {moved[1]}",
        (
            Evidence(f"relative change of {loss.name}", change(loss.values), -CHANGE.value),
            Evidence(f"relative change of {metric.name}", change(metric.values), CHANGE.value),
        ),
        REMEDIES,
        where=metric.name,
        strength=abs(change(metric.values)) / CHANGE.value,
    )


def _impossible(loss: Series, accuracy: Series) -> Finding:
    least = 1 - float(loss.values[-1]) / math.log(2)
    return Finding(
        WARNING,
        f"{accuracy.name} ends at {spoken(accuracy.values[-1])}, while a {loss.name} of {spoken(loss.values[-1])} "
        f"means that at least {least:.0%} are right",
        (Evidence(f"{accuracy.name} below what the loss allows", shortfall(loss, accuracy), SHORT.value),),
        REMEDIES,
        where=accuracy.name,
        strength=shortfall(loss, accuracy) / SHORT.value,
    )


RULE = Rule(
    code="PF504",
    name="metric-disagrees",
    title="Loss and metric disagree",
    detects="Over the epochs the loss of a split falls while a metric of the same split gets worse, both in more steps "
    f"than chance would have it and by more than {CHANGE.value:g} of their size. Or an accuracy ends {SHORT.value:g} "
    "below the least that the cross-entropy of the same samples allows, 1 - loss / ln(2).",
    matters="Either the metric is computed wrongly, or what is minimized is not what is wanted; the better the "
    "training, the worse the result.",
    fix="Compute the metric of one batch by hand. If it is right, the loss is not: look at the weights of its parts "
    "and at the sign and scale of each.",
    check=check,
    thresholds=(CHANGE, EPOCHS, SHORT, TREND),
)
