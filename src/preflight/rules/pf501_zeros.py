"""PF501: metrics that were saved as zeros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, NotApplicable, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.beside import course, pairs_of
from preflight.rules.predicates import Array
from preflight.rules.series import (
    HISTORY,
    TREND,
    Series,
    is_rising,
    log_series,
    losses_of,
    names,
    saved_series,
    spoken,
)
from preflight.telemetry.metric_names import GAIN, LOSS, TRAIN, VALIDATION
from preflight.telemetry.recording import Recording

LOSS_EPOCHS = Threshold(
    "LOSS_EPOCHS", 3, "epochs with a loss of exactly zero, the first one among them", "no untrained model has one"
)
METRIC_EPOCHS = Threshold(
    "METRIC_EPOCHS",
    10,
    "epochs with an accuracy of exactly zero, where no log tells otherwise",
    "of very many classes none may be right in the first few epochs",
)
PERFECT = Threshold(
    "PERFECT",
    0.99,
    "of the samples are right: then the loss may be zero but for rounding",
    "a loss of 1e-5 is saved so",
)
DROP = Threshold(
    "DROP",
    0.05,
    "of the largest loss is what the last one before the zeros is at least",
    "a loss that comes down to zero gets there by way of smaller values; what is rounded to two places has them too",
)


def check(recording: Recording) -> Answer:
    """Series of the history that are zero throughout, or from some epoch on, and what the log says of them."""
    history = saved_series(recording, HISTORY)
    pairs = pairs_of(history, log_series(recording))
    denials = {item.name: found for item, found in pairs if found.values.any()}
    zeros = [item for item in history if item.meaning.kind in (LOSS, GAIN) and not item.values.any()]
    denied = [item for item in zeros if len(item) > 1 and item.name in denials]
    losses = [item for item in zeros if item not in denied and _is_impossible(item, history)]
    wrong = [item for item in zeros if item in denied or item in losses]
    metrics = [
        item for item in zeros if item not in wrong and item.meaning.kind == GAIN and len(item) >= METRIC_EPOCHS.value
    ]
    if wrong:
        return _reset(wrong, metrics, denials)
    for item in history:
        if (row := zero_from(item)) is not None and _is_untrue(item, row, history):
            return _ceased(item, row, history)
    return _never_right(metrics) if metrics else _too_short(zeros) or Clean()


def _too_short(zeros: Sequence[Series]) -> NotApplicable | None:
    """Zeros in too few epochs to tell; values other than zero are enough of them."""
    losses = [item for item in zeros if item.meaning.kind == LOSS and item.meaning.key == ""]
    for item in (item for item in losses if len(item) < LOSS_EPOCHS.value):
        return too_few(f"{item.name}, 0.0 throughout,", len(item), LOSS_EPOCHS.value, "epochs")
    for item in (item for item in zeros if item.meaning.kind == GAIN and len(item) < METRIC_EPOCHS.value):
        return too_few(f"{item.name}, 0.0 throughout,", len(item), METRIC_EPOCHS.value, "epochs")
    return None


def _is_impossible(item: Series, history: Sequence[Series]) -> bool:
    """A loss of zero from the first epoch on, unless it is one part among others or all predictions are right."""
    if item.meaning.kind != LOSS or len(item) < LOSS_EPOCHS.value:
        return False
    split = item.meaning.split
    if any(other.values.any() for other in losses_of(history, split)):
        return False
    gains = [other for other in history if other.meaning.kind == GAIN and other.meaning.split == split]
    return not any(other.values.min() >= PERFECT.value for other in gains)


def zero_from(loss: Series) -> float | None:
    """Row from which on a whole loss is exactly zero, without having come near it; None where it is not so.

    One that was zero before as well is not saved in every epoch.
    """
    begin = int(np.count_nonzero(loss.values))
    is_whole = loss.meaning.kind == LOSS and loss.meaning.key == ""
    if not is_whole or begin == 0 or len(loss) - begin < LOSS_EPOCHS.value or loss.values[begin:].any():
        return None
    is_drop = abs(float(loss.values[begin - 1])) >= DROP.value * float(np.abs(loss.values).max())
    return float(loss.rows[begin]) if is_drop else None


def _is_untrue(loss: Series, row: float, history: Sequence[Series]) -> bool:
    """Whether the zeros of a loss from a row on cannot be: nothing is right any more, or something is still learned.

    A training loss of zero has no gradient, so that no other loss goes on falling beside it.
    """
    split = loss.meaning.split
    for other in history:
        later = other.values[other.rows >= row]
        is_gain = other.meaning.kind == GAIN and other.meaning.split == split
        if is_gain and len(later) and other.values.any() and not later.any():
            return True
        if split == TRAIN and other.meaning == replace(loss.meaning, split=VALIDATION) and _still_falls(later):
            return True
    return False


def _still_falls(values: Array) -> bool:
    return is_rising(-values) and float(values[0] - values[-1]) > DROP.value * abs(float(values[0]))


def _ceased(loss: Series, row: float, history: Sequence[Series]) -> Finding:
    begin = int((loss.rows < row).sum())
    zeros = len(loss) - begin
    also = [
        other
        for other in history
        if other is not loss and not other.values[other.rows >= row].any() and (other.rows >= row).any()
    ]
    subject = f"{names([loss, *also])} {'are' if also else 'is'}"
    return Finding(
        ERROR,
        f"{subject} exactly 0.0 in the last {zeros} of {len(loss)} epochs, from epoch {loss.epochs[begin]:g} on, after "
        f"a {loss.name} of {spoken(loss.values[begin - 1])}: what is saved is no longer filled, or was reset before",
        (
            Evidence(f"epochs with a {loss.name} of zero", zeros, LOSS_EPOCHS.value),
            Evidence(f"{loss.name} before them", float(loss.values[begin - 1])),
        ),
        (
            Remedy("save the epoch's means before the meters that hold them are reset, or copy them first"),
            Remedy("where the training ended there, save the epochs that ran, and not the rest of an array of zeros"),
        ),
        where=loss.name,
        strength=zeros / LOSS_EPOCHS.value,
    )


def _reset(wrong: list[Series], others: list[Series], denials: Mapping[str, Series]) -> Finding:
    told = [(item, denials[item.name]) for item in wrong if item.name in denials]
    said = "; ".join(course(found) for _, found in told)
    evidence = [Evidence(f"largest {item.name} in {len(item)} epochs", 0.0) for item in (*wrong, *others)]
    evidence += [Evidence(f"largest {found.name} in the log", float(found.values.max())) for _, found in told]
    also = f"; {names(others)} {'is' if len(others) == 1 else 'are'} zero throughout as well" if others else ""
    return Finding(
        ERROR,
        f"{names(wrong)} {'is' if len(wrong) == 1 else 'are'} 0.0 in all {len(wrong[0])} epochs of the history"
        + (f", while in the log {said}" if said else "")
        + f": what is saved was reset before, or was never filled{also}",
        tuple(evidence),
        (
            Remedy("save the epoch's means before the meters that hold them are reset, or copy them first"),
            Remedy("check that the meters which are saved are those that the training loop updates"),
        ),
        where=wrong[0].name,
        strength=float(len(wrong) + len(others)),
    )


def _never_right(metrics: list[Series]) -> Finding:
    return Finding(
        WARNING,
        f"{names(metrics)} {'is' if len(metrics) == 1 else 'are'} 0.0 in all {len(metrics[0])} epochs: guessing would "
        "be right now and then, so that either labels and predictions do not match or nothing is counted",
        tuple(Evidence(f"epochs with {item.name} of zero", len(item), METRIC_EPOCHS.value) for item in metrics),
        (Remedy("compare predictions and labels of one batch by eye, and count the right ones by hand"),),
        where=metrics[0].name,
        strength=len(metrics[0]) / METRIC_EPOCHS.value,
    )


RULE = Rule(
    code="PF501",
    name="recorded-zeros",
    title="Metrics were saved as zeros",
    detects=f"A loss of the history is exactly zero in all of at least {LOSS_EPOCHS.value:g} epochs, a metric in at "
    f"least {METRIC_EPOCHS.value:g}, or the console log of the same run shows other values. Or a loss drops to exactly "
    f"zero for its last {LOSS_EPOCHS.value:g} epochs or more, while the accuracy does so as well or the validation "
    "loss goes on falling.",
    matters="The history says nothing of the training, which may be learning: nobody can choose an epoch by it or "
    "see that it fails.",
    fix="Follow the saved value back to the meter that holds it: it is read after it was reset for the next epoch, or "
    "it is another one than the training loop updates. How the mean is computed has no part in it.",
    check=check,
    thresholds=(LOSS_EPOCHS, METRIC_EPOCHS, PERFECT, DROP, TREND),
    causes=("PF503", "PF504", "PF507"),
)
