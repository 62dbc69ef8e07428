"""PF507: the validation loss rises while the training loss falls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, NotApplicable, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.predicates import Array
from preflight.rules.series import HISTORY, LOG, STEPS, TREND, Series, is_rising, losses_of, saved_series, spoken
from preflight.telemetry.metric_names import COST, GAIN, TRAIN, VALIDATION
from preflight.telemetry.recording import Recording

RISE = Threshold(
    "RISE",
    0.1,
    "of the best validation loss, and of what had been gained until then, is lost again",
    "healthy validation losses creep up by a few percent at the end",
)
NOISE = Threshold("NOISE", 4.0, "times the noise between neighbouring values", "beyond chance, whatever the noise is")
AFTER = Threshold("AFTER", 6, "evaluations after the best one at least", "five in order happen once in 120 by chance")
SHORT = Threshold(
    "SHORT",
    5,
    "evaluations after the best one are enough where each is higher than the one before and the last than the first",
    "of 100,000 made-up runs that converge, with noise of up to 0.1, 5 end so; 20 do with four of them",
)
CLIMB = Threshold(
    "CLIMB",
    0.05,
    "is the chance of a trend (Kendall's tau) that is enough to say that a metric still improves",
    "the usual level: a metric that may be improving is no fault, so that less is asked of it than of TREND",
)
LEARNED = Threshold(
    "LEARNED",
    0.01,
    "of the validation loss is left of the training loss",
    "a network that can fit random labels gets there by memory alone (Zhang et al., 2017, arXiv 1611.03530)",
)
UNSOLVED = Threshold(
    "UNSOLVED",
    0.2,
    "of the best constant predictor's loss is left in validation",
    "below it the gap hardly matters; well trained networks of the healthy runs lie below 0.1",
)
FITTED = Threshold(
    "FITTED",
    0.9,
    "of the best constant predictor's training loss is left in training, where validation is no better than a constant",
    "a tenth of the way is more than the noise of the batches, of whose late quarter it is the mean",
)
CAP = 100.0
# Measured: images of 40 digits and a table of 60 rows come 2% to 4% of the way to what all of their data gives by it.
FEW = "weight decay makes up for few samples hardly at all"


def check(recording: Recording) -> Answer:
    """Judge the losses that are known of both splits."""
    series = saved_series(recording, HISTORY, LOG, STEPS)
    pairs = list(_pairs(series))
    if not pairs:
        raise MissingError("there is no loss that is known of both splits")
    found = [pair for pair in pairs if overfits(*pair) and not _metric_improves(series, pair[1])]
    if found:
        return _finding(*found[0])
    memorized = [(pair, left) for pair in pairs if (left := _unsolved(recording, *pair)) is not None]
    if memorized:
        return _by_heart(*memorized[0][0], memorized[0][1])
    return _too_short(recording, pairs) or Clean()


def _too_short(recording: Recording, pairs: Sequence[tuple[Series, Series]]) -> NotApplicable | None:
    """A validation loss that may begin to rise, or too few values of each to see it where nothing else tells."""
    for training, validation in pairs:
        after = len(validation) - 1 - int(validation.values.argmin())
        if 0 < after < SHORT.value and rise(validation.values) > _least_rise(validation.values):
            later = training.values[training.rows >= validation.rows[-1 - after]]
            if len(later) > 1 and later[-1] < later[0]:
                what = f"{validation.name}, which rises to {spoken(validation.values[-1])} after its best value,"
                return too_few(what, after, SHORT.value, "evaluations there")
    longest = max((validation for _, validation in pairs), key=len)
    if len(longest) > SHORT.value or any(_has_constant(recording, training) for training, _ in pairs):
        return None
    return too_few(longest.name, len(longest), SHORT.value + 1, "evaluations")


def _has_constant(recording: Recording, training: Series) -> bool:
    try:
        return recording.fact("losses", training.meaning.key, "constant") is not None
    except MissingError:
        return False


def _pairs(series: Sequence[Series]) -> Iterator[tuple[Series, Series]]:
    """Training and validation loss of the same name."""
    training = {item.meaning.key: item for item in losses_of(series, TRAIN)}
    for item in losses_of(series, VALIDATION):
        if item.meaning.key in training:
            yield training[item.meaning.key], item


def overfits(training: Series, validation: Series) -> bool:
    """Whether after its best value the validation loss rises beyond noise, and the training loss goes on falling.

    It must end below where it was at that value: a run that has run away and comes back falls as well.
    """
    best = int(validation.values.argmin())
    after = validation.values[best + 1 :]
    is_later = training.rows > validation.rows[best]
    before, later = training.values[~is_later], training.values[is_later]
    if not _goes_up(after) or (len(after) < AFTER.value and after[-1] <= validation.values[0]):
        return False
    if rise(validation.values) <= _least_rise(validation.values) or not _goes_up(-later):
        return False
    size = max(3, len(later) // 4)
    return not len(before) or bool(np.median(later[-size:]) < np.median(before[-size:]))


def _goes_up(values: Array) -> bool:
    return is_rising(values) or (len(values) < AFTER.value and _rises_steadily(values))


def _rises_steadily(values: Array) -> bool:
    """Whether each of SHORT values or more is higher than the one before."""
    return len(values) >= SHORT.value and bool((np.diff(values) > 0).all())


def rise(values: Array) -> float:
    """From the best value to the late level, the median of the last quarter after it."""
    best = int(values.argmin())
    after = values[best + 1 :]
    return float(np.median(after[-max(3, len(after) // 4) :]) - values[best])


def _least_rise(values: Array) -> float:
    """What would have to be lost to be a fault."""
    best = float(values.min())
    return max(RISE.value * abs(best), RISE.value * float(values[0] - best), NOISE.value * _noise(values), 1e-300)


def _noise(values: Array) -> float:
    """Deviation of a value from its neighbour's level, by the median of the steps between them."""
    steps = np.diff(values)
    return 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / math.sqrt(2)


def _metric_improves(series: Sequence[Series], validation: Series) -> bool:
    """Whether a metric of the validation split goes on improving after the best value of its loss."""
    row = validation.rows[int(validation.values.argmin())]
    for item in series:
        if item.meaning.split == VALIDATION and item.meaning.kind in (GAIN, COST):
            values = item.values if item.meaning.kind == GAIN else -item.values
            if _still_gains(values, int((item.rows <= row).sum())):
                return True
    return False


def _still_gains(values: Array, begin: int) -> bool:
    """Whether ``values[T]`` end above all those before ``begin``: by a climb, or at once and beyond noise."""
    before, after = values[:begin], values[begin:]
    if not len(before) or not len(after):
        return False
    gain = float(np.median(after[-max(3, len(after) // 4) :]) - before.max())
    enough = max(RISE.value * float(before.max() - before[0]), NOISE.value * _noise(values))
    return gain > 0 and (gain > enough or is_rising(after, CLIMB.value))


def _unsolved(recording: Recording, training: Series, validation: Series) -> float | None:
    """Share of the constant's loss that validation ends at, where training has next to none; None where it is fine."""
    try:
        constant = float(recording.fact("losses", training.meaning.key, "constant"))
    except MissingError:
        return None
    late, last = _late(training), float(validation.values[-1])
    # In a run that has run away, of both splits, one loss may be a hundred times the other.
    own = recording.facts["losses"][training.meaning.key].get("constant_training") or constant
    is_learned = 0 <= late <= LEARNED.value * last and last > UNSOLVED.value * constant and late < FITTED.value * own
    holds_nowhere = last >= constant and _is_fitted(recording, training)
    return last / constant if constant > 0 and (is_learned or holds_nowhere) else None


def _is_fitted(recording: Recording, training: Series) -> bool:
    """Whether training gains on its own constant: the validation's is another one, by the chance of its samples."""
    constant = recording.facts["losses"][training.meaning.key].get("constant_training")
    # The mean: squared errors of small batches are skewed, and a median lies below what they come to.
    late = float(_quarter(training).mean())
    return constant is not None and 0 <= late < FITTED.value * constant and is_rising(-training.values)


def _late(training: Series) -> float:
    return float(np.median(_quarter(training)))


def _quarter(training: Series) -> Array:
    return training.values[-max(3, len(training) // 4) :]


def _by_heart(training: Series, validation: Series, left: float) -> Finding:
    late, last = _late(training), float(validation.values[-1])
    learned, unsolved = (LEARNED.value, UNSOLVED.value) if left < 1 else (FITTED.value, 1.0)
    return Finding(
        WARNING,
        f"{training.name} ends at {spoken(late)} and {validation.name} at {spoken(last)}, {_times(left)} what a "
        "constant output gives: what is learned of the training samples does not hold for others",
        (
            Evidence(f"{training.name} over {validation.name}", late / last, learned),
            Evidence(f"{validation.name} over that of the best constant", left, unsolved),
        ),
        (
            Remedy("train on more samples, or augment them: there is nothing left to learn from these"),
            Remedy(f"a smaller model or dropout lose less by it; {FEW}"),
        ),
        where=validation.name,
        strength=max(1.0, min(CAP, LEARNED.value * last / max(late, 1e-300))),
    )


def _times(share: float) -> str:
    return f"{share:.0%} of" if share < 10 else f"{share:.3g} times"


def _finding(training: Series, validation: Series) -> Finding:
    best = int(validation.values.argmin())
    at = _place(validation, best)
    lost = rise(validation.values)
    return Finding(
        WARNING,
        f"{validation.name} is best {at}, {spoken(validation.values[best])}, and rises to "
        f"{spoken(validation.values[-1])} while {training.name} falls to {spoken(training.values[-1])}",
        (
            Evidence(f"rise of {validation.name} after its best value", lost, _least_rise(validation.values)),
            Evidence(f"best {validation.name}", float(validation.values[best])),
        ),
        (
            Remedy(f"stop {at}, or keep the weights from there"),
            Remedy(f"to get beyond it use more or augmented samples, dropout, or a smaller model; {FEW}"),
        ),
        where=validation.name,
        strength=min(CAP, lost / _least_rise(validation.values)),
    )


def _place(validation: Series, best: int) -> str:
    """Epoch, or step of losses.csv where all is one epoch."""
    epoch = validation.epochs[best]
    if np.isfinite(epoch) and np.ptp(validation.epochs) > 0:
        return f"at epoch {epoch:g}"
    return f"at step {validation.rows[best]:g}"


RULE = Rule(
    code="PF507",
    name="overfitting",
    title="The model overfits",
    detects="After its best value the validation loss rises in more steps than chance would have it, over "
    f"{AFTER.value:g} evaluations or more, or in each of {SHORT.value:g} and to above its first value; it loses "
    f"{RISE.value:g} of its size and {NOISE.value:g} times its noise, and the training loss goes on falling, to below "
    "where it was. Where a validation metric goes on improving after "
    f"that value, by a climb or by {RISE.value:g} of what it had gained, nothing is said. Or the training loss, below "
    f"its own constant's, ends below {LEARNED.value:g} of a validation loss that is above {UNSOLVED.value:g} of the "
    "best constant's; "
    f"or training has come below {FITTED.value:g} of its own constant's loss, and validation not below its constant's.",
    matters="What is learned from there on holds for the training samples only.",
    fix="Keep the weights of the best epoch; to get beyond it, use more or augmented data, dropout, or a smaller "
    "model.",
    check=check,
    thresholds=(RISE, NOISE, AFTER, SHORT, CLIMB, LEARNED, UNSOLVED, FITTED, TREND),
)
