"""PF501: metrics that were saved as zeros."""

from __future__ import annotations

from collections.abc import Sequence

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.series import HISTORY, LOG, Series, losses_of, names, same, saved_series, spoken
from preflight.telemetry.metric_names import GAIN, LOSS
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
PERFECT = 0.99


def check(recording: Recording) -> Answer:
    """Series of the history that are zero throughout, and what the log says of them."""
    history, log = saved_series(recording, HISTORY), _log(recording)
    zeros = [item for item in history if item.meaning.kind in (LOSS, GAIN) and not item.values.any()]
    denied = [item for item in zeros if len(item) > 1 and _denial(item, log) is not None]
    losses = [item for item in zeros if item not in denied and _is_impossible(item, history)]
    wrong = [item for item in zeros if item in denied or item in losses]
    metrics = [
        item for item in zeros if item not in wrong and item.meaning.kind == GAIN and len(item) >= METRIC_EPOCHS.value
    ]
    if wrong:
        return _reset(wrong, metrics, log)
    return _never_right(metrics) if metrics else Clean()


def _log(recording: Recording) -> list[Series]:
    try:
        return saved_series(recording, LOG)
    except MissingError:
        return []


def _denial(item: Series, log: Sequence[Series]) -> Series | None:
    """The log's series of the same meaning, where it is not zero."""
    found = same(log, item.meaning)
    return found if found is not None and found.values.any() else None


def _is_impossible(item: Series, history: Sequence[Series]) -> bool:
    """A loss of zero from the first epoch on, unless it is one part among others or all predictions are right."""
    if item.meaning.kind != LOSS or len(item) < LOSS_EPOCHS.value:
        return False
    split = item.meaning.split
    if any(other.values.any() for other in losses_of(history, split)):
        return False
    gains = [other for other in history if other.meaning.kind == GAIN and other.meaning.split == split]
    return not any(other.values.min() >= PERFECT for other in gains)


def _reset(wrong: list[Series], others: list[Series], log: Sequence[Series]) -> Finding:
    told = [(item, found) for item in wrong if (found := _denial(item, log)) is not None]
    said = "; ".join(f"{i.name} goes from {spoken(f.values[0])} to {spoken(f.values[-1])}" for i, f in told)
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
    f"least {METRIC_EPOCHS.value:g}, or the console log of the same run shows other values.",
    matters="The history says nothing of the training, which may be learning: nobody can choose an epoch by it or "
    "see that it fails.",
    fix="Follow the saved value back to the meter that holds it: it is read after it was reset for the next epoch, or "
    "it is another one than the training loop updates. How the mean is computed has no part in it.",
    check=check,
    thresholds=(LOSS_EPOCHS, METRIC_EPOCHS),
    causes=("PF503", "PF504", "PF507"),
)
