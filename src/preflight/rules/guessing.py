"""A history or a log of a classifier that stays where guessing would leave it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, NotApplicable, Remedy
from preflight.rules.base import Threshold
from preflight.rules.beside import unit_of
from preflight.rules.predicates import Array
from preflight.rules.saved_losses import SAVED_EPOCHS, epochs_of, is_level, whole_losses
from preflight.rules.series import HISTORY, LOG, Series, classes_of, is_rising, saved_series, spoken
from preflight.telemetry.metric_names import GAIN, TRAIN
from preflight.telemetry.recording import Recording

GUESS = Threshold(
    "GUESS", 0.05, "of ln(classes) around it is the loss of guessing", "an untrained model lies above it by a little"
)
RIGHT = Threshold(
    "RIGHT",
    0.1,
    "of 1 / classes around it is the accuracy of guessing, and rounding",
    "of ten classes that is 0.09 to 0.11, four standard errors of 10,000 samples and more",
)
LOOK = Remedy("see what keeps it there: raw inputs (3xx), the head (4xx), the learning rate, labels of other inputs")


def judge_saved(recording: Recording) -> Answer:
    """Whether all losses stay at ln(classes), or an accuracy at 1 / classes while the loss falls."""
    losses, accuracies = whole_losses(recording), list(_accuracies(recording))
    if (epochs := epochs_of([*losses, *accuracies])) < SAVED_EPOCHS.value:
        return NotApplicable(f"{epochs} epochs are too few to tell: it takes {SAVED_EPOCHS.value:g}")
    classes = classes_of(recording)
    if classes is None and (classes := _told(losses, accuracies)) is None:
        raise MissingError("the number of classes is not known: give --classes")
    level, share = math.log(classes), 1 / classes
    if all(is_level(item.values) and _is_near(item.values, level, GUESS.value) for item in losses):
        stuck = [item for item in accuracies if _stays(item, share)]
        return _stuck(losses, stuck, classes, epochs)
    falling = [item for item in losses if item.meaning.split == TRAIN and is_rising(-item.values)]
    blind = [item for item in accuracies if _stays(item, share) and not item.stands_still]  # of that PF502 speaks
    return _blind(blind[0], falling[0], classes) if falling and blind else Clean()


def _accuracies(recording: Recording) -> Iterator[Series]:
    for table in (HISTORY, LOG):
        try:
            series = saved_series(recording, table)
        except MissingError:
            continue
        yield from (item for item in series if (item.meaning.kind, item.meaning.key) == (GAIN, "top1"))


def _told(losses: Sequence[Series], accuracies: Sequence[Series]) -> int | None:
    """Number of classes by which loss and accuracy of one split are both those of guessing."""
    for loss in losses:
        level = float(loss.values.mean())
        classes = round(math.exp(level)) if 0 < level < math.log(1e6) and is_level(loss.values) else 0
        for item in accuracies:
            if item.meaning.split == loss.meaning.split and classes > 1 and _stays(item, 1 / classes):
                return classes
    return None


def _is_near(values: Array, level: float, margin: float) -> bool:
    """Whether the second half of ``values[T]`` lies at a level."""
    return abs(float(values[len(values) // 2 :].mean()) - level) <= margin * level


def _stays(accuracy: Series, share: float) -> bool:
    """Whether all but the first value are those of guessing."""
    scale = 100.0 if accuracy.values.max() > 1 else 1.0
    later = accuracy.values[1:] / scale
    margin = RIGHT.value * share + min(unit_of(accuracy.values) / scale, RIGHT.value * share)
    return epochs_of([accuracy]) >= SAVED_EPOCHS.value and bool((abs(later - share) <= margin).all())


def _stuck(losses: Sequence[Series], accuracies: Sequence[Series], classes: int, epochs: int) -> Finding:
    level = math.log(classes)
    ends = " and ".join(f"{item.name} ends at {spoken(item.values[-1])}" for item in losses)
    also = "".join(f", {item.name} at {spoken(item.values[-1])}" for item in accuracies)
    return Finding(
        ERROR,
        f"after {epochs} epochs {ends}{also}: that is guessing among {classes} classes, ln({classes}) = {level:.4g}, "
        "and nothing of the input is used",
        tuple(
            Evidence(
                f"late level of {item.name}", float(item.values[len(item) // 2 :].mean()), level * (1 - GUESS.value)
            )
            for item in losses
        ),
        (LOOK,),
        where=losses[0].name,
        explains=() if any(item.stands_still for item in losses) else ("PF502",),
    )


def _blind(accuracy: Series, loss: Series, classes: int) -> Finding:
    return Finding(
        WARNING,
        f"{accuracy.name} stays at {spoken(accuracy.values[-1])}, guessing among {classes} classes, while {loss.name} "
        f"falls from {spoken(loss.values[0])} to {spoken(loss.values[-1])}",
        (Evidence(f"last {accuracy.name}", float(accuracy.values[-1]), 1 / classes),),
        (Remedy("compare predictions and labels of one batch by eye: their order, the axis of argmax, the split"),),
        where=accuracy.name,
    )
