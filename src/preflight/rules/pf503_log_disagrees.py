"""PF503: the console log and the history of one run tell different things."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, NotApplicable, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.beside import SHARED, are_one_evaluation, factors_of, lay_beside, pairs_of
from preflight.rules.series import HISTORY, LOG, MOVES, SPREAD, Series, names, saved_series, spoken
from preflight.telemetry.metric_names import GAIN, TRAIN, VALIDATION
from preflight.telemetry.recording import Recording

MARGIN = Threshold(
    "MARGIN",
    0.25,
    "of the log's range beyond the log's values of the epoch and its neighbours, in training",
    "a log may show the last batch or a running mean where the history holds the epoch's mean",
)
EVALUATED = Threshold(
    "EVALUATED",
    0.1,
    "of the value, beyond rounding, in validation: one value for an epoch, of the same weights and samples",
    "a mean of eleven batches' means gives the last one, which may be one sample, a tenth more than the mean over the "
    "samples does; loss and accuracy of a batch are seldom twice those of the others",
)
SHARE = Threshold(
    "SHARE", 0.5, "of the epochs lie outside that: fewer are restarts and rounding", "the first epoch's mean often does"
)
ROUNDING = Threshold(
    "ROUNDING",
    0.02,
    "of the log's largest value, in training, is rounding",
    "two digits are what a log prints at least",
)
CAP = 100.0
TRUST = Remedy("trust neither of them before it is clear which values are saved, and when")


@dataclass(frozen=True)
class Difference:
    """A series of the history against the log's; ``outside`` of so many ``epochs``."""

    saved: Series
    printed: Series
    epochs: int
    outside: int
    is_stuck: bool

    @property
    def share(self) -> float:
        """Of the epochs that disagree."""
        return self.outside / self.epochs if self.epochs else 1.0


def check(recording: Recording) -> Answer:
    """Compare every series that both have; the one that differs most is named."""
    history, log = saved_series(recording, HISTORY), saved_series(recording, LOG)
    pairs = pairs_of(history, log)
    differing = [item for item in (compare(*pair) for pair in pairs) if item is not None]
    if not differing:
        shared = max((len(lay_beside(*pair)) for pair in pairs), default=0)
        return Clean() if shared >= SHARED.value else _shares_too_little(pairs, shared)
    if (places := _in_each_others_place(pairs)) is not None:
        return _exchanged(*places)
    return _finding(sorted(differing, key=lambda item: (not item.is_stuck, -item.share)))


def _shares_too_little(pairs: Sequence[tuple[Series, Series]], epochs: int) -> NotApplicable:
    if not pairs:
        return NotApplicable("no loss and no metric is in both the history and the log")
    return too_few("what history and log both tell", epochs, SHARED.value, "epochs")


def compare(saved: Series, printed: Series) -> Difference | None:
    """How a series of the history differs from the log's; None where it does not, or where nobody can tell."""
    if saved.stands_still and len(saved) >= SHARED.value and printed.moves:
        return Difference(saved, printed, 0, 0, is_stuck=True)
    count = _evaluated if are_one_evaluation(saved, printed) else _around
    counts = [count(saved, printed, factor) for factor in factors_of(saved)]
    epochs, outside = min(counts, key=lambda item: item[1])
    found = Difference(saved, printed, epochs, outside, is_stuck=False)
    return found if epochs >= SHARED.value and found.share > SHARE.value else None


def _around(saved: Series, printed: Series, factor: float) -> tuple[int, int]:
    """Epochs, and those whose value lies outside of what the log shows around them."""
    found = lay_beside(saved, printed, factor, reach=1)
    range_, largest = float(np.ptp(printed.values)), float(np.abs(printed.values).max())
    return len(found), found.outside(MARGIN.value * range_ + ROUNDING.value * largest)


def _evaluated(saved: Series, printed: Series, factor: float) -> tuple[int, int]:
    """Epochs, and those with another value; none where the same ones were printed an epoch earlier or later."""
    for shift in (1, -1):
        moved = lay_beside(saved, printed, factor, shift)
        if len(moved) >= SHARED.value and not moved.outside():
            return len(moved), 0
    found = lay_beside(saved, printed, factor)
    size = np.maximum(np.abs(found.low), np.abs(found.high))
    if saved.meaning.kind == GAIN:
        size = np.abs(printed.values).max()
    return len(found), found.outside(EVALUATED.value * size)


def _in_each_others_place(pairs: Sequence[tuple[Series, Series]]) -> tuple[Series, Series] | None:
    """Two series, of training and of validation, each of which is what the log shows of the other."""
    for training, printed in pairs:
        for validation, other in pairs:
            is_pair = (training.meaning.split, validation.meaning.split) == (TRAIN, VALIDATION)
            if is_pair and (training.meaning.kind, training.meaning.key) == (
                validation.meaning.kind,
                validation.meaning.key,
            ):
                crossed = lay_beside(training, other), lay_beside(validation, printed)
                straight = lay_beside(validation, other)
                is_crossed = all(len(item) >= SHARED.value and not item.outside() for item in crossed)
                if is_crossed and straight.outside() > SHARE.value * len(straight):
                    return training, validation
    return None


def _exchanged(training: Series, validation: Series) -> Finding:
    return Finding(
        WARNING,
        f"{training.name} and {validation.name} of the history are in each other's place: in all {len(training)} "
        "epochs each is what the log shows of the other",
        (Evidence("epochs in which they are exchanged", len(training), SHARED.value),),
        (Remedy("see which loader each of them is computed on"), TRUST),
        where=training.name,
        strength=CAP,
    )


def _finding(differing: list[Difference]) -> Finding:
    worst = differing[0]
    saved, printed = worst.saved, worst.printed
    printed_range = f"from {spoken(printed.values[0])} to {spoken(printed.values[-1])}"
    if worst.is_stuck:
        still = f"is {spoken(saved.values[0])} in all {len(saved)} epochs of the history"
        said = f"{still} and goes {printed_range} in the log"
    else:
        said = (
            f"goes from {spoken(saved.values[0])} to {spoken(saved.values[-1])} in the history and {printed_range} in "
            f"the log: {worst.outside} of {worst.epochs} epochs disagree"
        )
    others = [item.saved for item in differing[1:]]
    also = f"; {names(others)} disagree{'s' if len(others) == 1 else ''} as well" if others else ""
    return Finding(
        ERROR if worst.is_stuck else WARNING,
        f"{saved.name} {said}{also}",
        (
            Evidence(f"share of the epochs in which {saved.name} disagrees", worst.share, SHARE.value),
            Evidence(f"{saved.name} in the history, middle", float(np.median(saved.values))),
            Evidence(f"{printed.name} in the log, middle", float(np.median(printed.values))),
        ),
        (TRUST,),
        where=saved.name,
        strength=_strength(saved, printed),
    )


def _strength(saved: Series, printed: Series) -> float:
    """Distance of the middles, in the log's own ranges."""
    size = float(np.ptp(printed.values)) or float(np.abs(printed.values).max()) or 1.0
    distance = abs(float(np.median(saved.values) - np.median(printed.values))) / size
    return min(CAP, max(1.0, distance)) if math.isfinite(distance) else 1.0


RULE = Rule(
    code="PF503",
    name="log-disagrees",
    title="Console log and history disagree",
    detects=f"A loss or metric of the history stands still while the log's moves; or in more than {SHARE.value:g} of "
    "the epochs it differs. In training it lies outside of what the log shows around the same epoch, by more than "
    f"{MARGIN.value:g} of the log's range. In validation, where the log has one value for an epoch and not those of "
    f"batches, by more than rounding and {EVALUATED.value:g} of the value. Or training and validation are in each "
    "other's place. Percentages and shares are told apart.",
    matters="At most one of the two is what happened; a choice made by the other one is made by chance.",
    fix="Print and save the same variable at the same place, and find out where they part: a meter that is reset, a "
    "sum in place of a mean, values of an earlier run in the file. Of a mean over batches and one over samples, which "
    "differ by a little where the last batch is short, that over samples is right.",
    check=check,
    thresholds=(MARGIN, EVALUATED, ROUNDING, SHARE, SHARED, SPREAD, MOVES),
)
