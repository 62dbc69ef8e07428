"""PF502: a saved series that never changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, NotApplicable, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.beside import SHARED, course, is_denied, pairs_of, unit_of
from preflight.rules.guessing import GUESS
from preflight.rules.predicates import Array
from preflight.rules.series import (
    HISTORY,
    LOG,
    MOVES,
    SPREAD,
    STEPS,
    TREND,
    Series,
    classes_of,
    is_rising,
    log_series,
    losses_of,
    names,
    saved_series,
    spoken,
)
from preflight.telemetry.metric_names import GAIN, LOSS, TRAIN, VALIDATION
from preflight.telemetry.recording import Recording

DIGITS = Threshold(
    "DIGITS", 4, "significant digits are saved at least", "a loss rounded to two places stands still on any plateau"
)
EPOCHS = Threshold(
    "EPOCHS",
    3,
    "epochs at least, where FULL digits are saved or equal values are beyond CHANCE",
    "two values may be equal by chance",
)
FULL = Threshold("FULL", 7, "significant digits are saved in full", "float32 holds seven")
ROUNDED = Threshold("ROUNDED", 5, "epochs at least where fewer digits are saved", "on an early plateau four are alike")
FOLLOWS = Threshold(
    "FOLLOWS",
    0.01,
    "of what the training loss falls by from value to value is what a validation loss of the same weights moves by",
    "in 198 stretches of four validations beside a training loss that only falls it was 0.04 or more, at median 0.7",
)
CHANCE = Threshold(
    "CHANCE",
    0.001,
    "is the chance that values which move by FOLLOWS are all rounded to the same one",
    "one step in the last digit over the move, for each value after the first",
)
METRIC_EPOCHS = Threshold(
    "METRIC_EPOCHS", 8, "epochs at least for a metric", "a metric counts samples: on a few it repeats for some epochs"
)
STALE = Remedy(
    "evaluate the weights in training: look for a copy made before it began (an average, a wrapped or a reloaded "
    "model) that is never updated"
)
IDLE = Remedy(
    "check that the learning rate is not 0, that the optimizer holds the model's parameters and that its step is taken"
)
SAVED = Remedy("save the value of the epoch that ends, and look for one that is computed once and kept")


def digits_of(value: float) -> int:
    """Significant digits that a value was saved with, as far as they can be told."""
    return len(f"{abs(value):.15g}".split("e")[0].replace(".", "").strip("0"))


def check(recording: Recording) -> Answer:
    """Judge the losses, of validation first, then the metrics."""
    try:
        history = saved_series(recording, HISTORY, LOG)
    except MissingError:
        return _check_steps(recording)
    losses = [*losses_of(history, VALIDATION), *losses_of(history, TRAIN)]
    training = _training(history, recording)
    still = [item for item in losses if _is_still_loss(item) or _is_beyond_chance(item, training)]
    metrics = [item for item in history if item.meaning.kind == GAIN and _is_still_metric(item)]
    denied = [pair for pair in pairs_of(history, log_series(recording)) if pair[0].values.any() and is_denied(*pair)]
    # A log that shows one series of a split move says that the others of it moved as well.
    moved = {item.meaning.split for item, _ in denied}
    is_stale = any(item.meaning.split == VALIDATION for item in still) and VALIDATION not in moved
    if denied and not is_stale:
        return _kept(denied, [*still, *metrics])
    if still:
        return _loss_finding(still[0], history, recording)
    return _metric_finding(metrics[0]) if metrics else _too_short(history, "epochs") or Clean()


def _kept(denied: Sequence[tuple[Series, Series]], still: Sequence[Series]) -> Finding:
    """One value for all epochs, where the log of the same run has others."""
    saved = [item for item, _ in denied]
    moved = {item.meaning.split for item in saved}
    others = [item for item in still if item not in saved and item.meaning.split in moved]
    values = " and ".join(f"{item.name} is {spoken(item.values[0])}" for item in saved)
    also = f"; {names(others)} never change{'s' if len(others) == 1 else ''} either" if others else ""
    return Finding(
        ERROR,
        f"{values} in all {len(saved[0])} epochs of the history, while in the log "
        f"{' and '.join(course(found) for _, found in denied)}: one value is saved again and again{also}",
        tuple(Evidence(f"range of {found.name} in the log", float(np.ptp(found.values))) for _, found in denied),
        (SAVED,),
        where=saved[0].name,
        strength=len(saved[0]) / EPOCHS.value,
        explains=("PF401", "PF402"),
    )


def _too_short(series: Sequence[Series], unit: str) -> NotApplicable | None:
    """Values that are all the same and too few, or saved with too few digits; two that differ are enough."""
    for item in series:
        if item.meaning.kind == LOSS and len(item) == 1:
            return too_few(item.name, 1, 2, unit)
        if not item.stands_still or not item.values.any():
            continue
        what = f"{item.name}, {spoken(float(item.values[0]))} throughout,"
        digits, enough = _needs(item)
        if item.meaning.kind == LOSS and digits < DIGITS.value:
            return too_few(what, digits, DIGITS.value, "digits")
        if item.meaning.kind == LOSS and len(item) < enough:
            return too_few(what, len(item), enough, unit)
        if item.meaning.kind == GAIN and _is_low(item) and len(item) < METRIC_EPOCHS.value:
            return too_few(what, len(item), METRIC_EPOCHS.value, unit)
    return None


def _check_steps(recording: Recording) -> Answer:
    """Judge the validation losses of a trial, beside a training loss that falls beyond the noise of its batches."""
    series = saved_series(recording, HISTORY, LOG, STEPS)
    training, validation = losses_of(series, TRAIN), losses_of(series, VALIDATION)
    if not training or not validation:
        raise MissingError("there is no history and no log, and losses.csv is not of both splits")
    falling = [item for item in training if is_rising(-item.values) and _comes_down(item)]
    still = [item for item in validation if _is_still_loss(item)]
    if falling and still:
        return _loss_finding(still[0], falling, recording, "evaluations")
    return _too_short(validation, "evaluations") or Clean()


def _comes_down(item: Series) -> bool:
    """Whether it falls by more than a series that stands still may: in its last digits noise alone may have ranks."""
    quarter = max(1, len(item) // 4)
    first, last = (float(np.median(part)) for part in (item.values[:quarter], item.values[-quarter:]))
    return first - last > SPREAD.value * abs(first)


def _is_still_loss(item: Series) -> bool:
    digits, enough = _needs(item)
    return item.stands_still and len(item) >= enough and digits >= DIGITS.value


def _needs(item: Series) -> tuple[int, float]:
    """Digits that it was saved with, and the values that it takes with so many."""
    digits = max(map(digits_of, item.values), default=0)
    return digits, EPOCHS.value if digits >= FULL.value else ROUNDED.value


def _is_beyond_chance(item: Series, training: Sequence[Series]) -> bool:
    """Whether a validation loss is the same to more digits than one of weights that move can be by chance.

    How far they move is told by a training loss that only falls.
    """
    if item.meaning.split != VALIDATION or not item.stands_still or len(item) < EPOCHS.value:
        return False
    if _needs(item)[0] < DIGITS.value:
        return False
    falls = [other for other in training if len(other) >= EPOCHS.value and _only_falls(other.values)]
    moves = [FOLLOWS.value * float(np.median(-np.diff(other.values))) for other in falls]
    chances = [(unit_of(item.values) / move) ** (len(item) - 1) for move in moves if move > 0]
    return any(chance < CHANCE.value for chance in chances)


def _only_falls(values: Array) -> bool:
    return bool((np.diff(values) < 0).all()) and float(values[0] - values[-1]) > MOVES.value * abs(float(values[0]))


def _is_still_metric(item: Series) -> bool:
    """Of one that is zero PF501 speaks; one that is high may have nothing left to learn."""
    return _is_low(item) and item.stands_still and len(item) >= METRIC_EPOCHS.value


def _is_low(item: Series) -> bool:
    top = float(item.values.max())
    return 0 < top < (0.5 if top <= 1 else 50)


def _loss_finding(item: Series, history: Sequence[Series], recording: Recording, unit: str = "epochs") -> Finding:
    moving = next((other for other in _training(history, recording) if other.moves), None)
    why, remedies = _explained(item, moving)
    said, chance = _chance(item, recording)
    return Finding(
        ERROR,
        f"{item.name} is {spoken(float(item.values[0]))} in all {len(item)} {unit}{said}: {why}",
        (Evidence(f"relative change of {item.name} in {len(item)} {unit}", _change(item), SPREAD.value), *chance),
        remedies,
        where=item.name,
        strength=len(item) / EPOCHS.value,
        explains=("PF401", "PF402"),
    )


def _explained(item: Series, moving: Series | None) -> tuple[str, tuple[Remedy, ...]]:
    """Why it stands still, by whether the training loss moves."""
    is_validation = item.meaning.split == VALIDATION
    if moving is None:
        why = "the weights that are evaluated never change" if is_validation else "no step changes the weights"
        return why, (STALE, IDLE) if is_validation else (IDLE,)
    moves = f"{moving.name} goes from {spoken(moving.values[0])} to {spoken(moving.values[-1])} meanwhile"
    if is_validation:
        return f"the weights that are evaluated never change, though those in training do ({moves})", (STALE,)
    return f"the same value is saved again and again, though training goes on ({moves})", (SAVED,)


def _change(item: Series) -> float:
    return float(item.values.max() - item.values.min()) / float(abs(item.values).max())


def _chance(item: Series, recording: Recording) -> tuple[str, list[Evidence]]:
    """What guessing would give, where the number of classes is known."""
    classes = classes_of(recording)
    if classes is None or classes < 2:
        return "", []
    level = math.log(classes)
    is_chance = abs(float(item.values[0]) - level) <= GUESS.value * level
    said = f", the level of guessing among {classes} classes ({level:.4g})" if is_chance else ""
    return said, [Evidence(f"loss of guessing, ln({classes})", level)]


def _training(history: Sequence[Series], recording: Recording) -> list[Series]:
    """Training losses of the history and of the log."""
    return [*losses_of(history, TRAIN), *losses_of(log_series(recording), TRAIN)]


def _metric_finding(item: Series) -> Finding:
    return Finding(
        WARNING,
        f"{item.name} is {spoken(float(item.values[0]))} in all {len(item)} epochs: the same samples are right every "
        "time, as by a model that gives one answer to all of them",
        (Evidence(f"epochs with the same {item.name}", len(item), METRIC_EPOCHS.value),),
        (Remedy("count how often each class is predicted on the validation samples"),),
        where=item.name,
        strength=len(item) / METRIC_EPOCHS.value,
    )


RULE = Rule(
    code="PF502",
    name="constant-series",
    title="A saved loss or metric never changes",
    detects=f"A loss changes by less than {SPREAD.value:g} of its size over {ROUNDED.value:g} epochs or more, or over "
    f"{EPOCHS.value:g} or more where chance cannot do it beside a training loss that falls, or it was saved with "
    f"{FULL.value:g} digits; with fewer than {DIGITS.value:g} nothing can be told. Or a metric that is not high is the "
    f"same in {METRIC_EPOCHS.value:g} epochs or more. Or any of them is the same in all epochs of the history, while "
    "the log of the run shows that it moved: then it is saved wrongly.",
    matters="Training moves every weight a little and with them the loss: one that stays the same to the last digit is "
    "that of other weights than those in training, or of weights that no step changes.",
    fix="Where the log shows other values, look for one that is computed once and saved every time. Otherwise, where "
    "the training loss changes, look at which weights are evaluated: a copy from before the training, an average that "
    "is never updated, a checkpoint loaded every time. Otherwise look at the learning rate and at what the optimizer "
    "was given.",
    check=check,
    thresholds=(SPREAD, DIGITS, EPOCHS, FULL, ROUNDED, FOLLOWS, CHANCE, METRIC_EPOCHS, SHARED, GUESS, MOVES, TREND),
    causes=("PF503", "PF504", "PF507"),
)
