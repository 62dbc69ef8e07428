"""PF504: the loss gets better and the metric gets worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.predicates import Array
from preflight.rules.series import HISTORY, LOG, Series, is_rising, losses_of, saved_series, spoken
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


def check(recording: Recording) -> Answer:
    """Judge every metric against the loss of its split."""
    series = saved_series(recording, HISTORY, LOG)
    pairs = list(_pairs(series))
    if not pairs:
        raise MissingError("there is no split with both a loss and a metric whose better direction is known")
    found = [pair for pair in pairs if disagree(*pair)]
    return _finding(*found[0]) if found else Clean()


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
        (
            Remedy(
                "compute the metric by hand for one batch: the axis of argmax, the threshold, the order of arguments"
            ),
            Remedy("check that the loss and the metric see the same outputs and the same targets"),
        ),
        where=metric.name,
        strength=abs(change(metric.values)) / CHANGE.value,
    )


RULE = Rule(
    code="PF504",
    name="metric-disagrees",
    title="Loss and metric disagree",
    detects="Over the epochs the loss of a split falls while a metric of the same split gets worse, both in more steps "
    f"than chance would have it and by more than {CHANGE.value:g} of their size.",
    matters="Either the metric is computed wrongly, or what is minimized is not what is wanted; the better the "
    "training, the worse the result.",
    fix="Compute the metric of one batch by hand. If it is right, the loss is not: look at the weights of its parts "
    "and at the sign and scale of each.",
    check=check,
    thresholds=(CHANGE, EPOCHS),
)
