"""PF503: the console log and the history of one run tell different things."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.predicates import Array
from preflight.rules.series import HISTORY, LOG, Series, names, same, saved_series, spoken
from preflight.telemetry.metric_names import GAIN
from preflight.telemetry.recording import Recording

MARGIN = Threshold(
    "MARGIN",
    0.25,
    "of the log's range beyond the log's values of the epoch and its neighbours",
    "a log may show the last batch or a running mean where the history holds the epoch's mean",
)
SHARE = Threshold(
    "SHARE", 0.5, "of the epochs lie outside that: fewer are restarts and rounding", "the first epoch's mean often does"
)
EPOCHS = Threshold("EPOCHS", 3, "epochs that both know of at least", "fewer show no pattern")
# Rounding of what a log prints: two digits of it.
ROUNDING = 0.02
CAP = 100.0


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
    pairs = [(item, found) for item in history if (found := same(log, item.meaning)) is not None]
    differing = [item for item in (compare(*pair) for pair in pairs) if item is not None]
    if not differing:
        return Clean()
    return _finding(sorted(differing, key=lambda item: (not item.is_stuck, -item.share)))


def compare(saved: Series, printed: Series) -> Difference | None:
    """How a series of the history differs from the log's; None where it does not, or where nobody can tell."""
    saved_values = _in_unit_of(saved, printed)
    if saved.stands_still and len(saved) >= EPOCHS.value and printed.moves:
        return Difference(saved, printed, 0, 0, is_stuck=True)
    ranges = list(_ranges(saved, printed))
    if len(ranges) < EPOCHS.value:
        return None
    spread = MARGIN.value * float(np.ptp(printed.values)) + ROUNDING * float(np.abs(printed.values).max())
    outside = sum(not low - spread <= saved_values[row] <= high + spread for row, low, high in ranges)
    found = Difference(saved, printed, len(ranges), outside, is_stuck=False)
    return found if found.share > SHARE.value else None


def _in_unit_of(saved: Series, printed: Series) -> Array:
    """Values of the history as percentages where the log has those, and the other way round."""
    if saved.meaning.kind != GAIN:
        return saved.values
    if printed.values.max() > 1 >= saved.values.max():
        return 100 * saved.values
    return saved.values / 100 if saved.values.max() > 1 >= printed.values.max() else saved.values


def _ranges(saved: Series, printed: Series) -> Iterator[tuple[int, float, float]]:
    """Rows of the history with the log's smallest and largest value of their epoch, the one before and the one after.

    Histories count from 0 and logs often from 1; a log that begins later cannot be laid beside it.
    """
    epochs = np.floor(printed.epochs)
    if not np.isfinite(epochs).all() or not np.isfinite(saved.epochs).all():
        return
    offset = float(epochs.min() - np.floor(saved.epochs.min()))
    if offset not in (0.0, 1.0):
        return
    for row, epoch in enumerate(np.floor(saved.epochs) + offset):
        if epoch in epochs:
            near = printed.values[np.abs(epochs - epoch) <= 1]
            yield row, float(near.min()), float(near.max())


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
        (Remedy("trust neither of them before it is clear which values are saved, and when"),),
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
    detects=f"A loss or metric of the history stands still while the log's moves; or it lies outside of what the log "
    f"shows around the same epoch, by more than {MARGIN.value:g} of the log's range, in more than {SHARE.value:g} of "
    "the epochs. Percentages and shares are told apart.",
    matters="At most one of the two is what happened; a choice made by the other one is made by chance.",
    fix="Print and save the same variable at the same place, and find out where they part: a meter that is reset, a "
    "sum in place of a mean, values of an earlier run in the file.",
    check=check,
    thresholds=(MARGIN, SHARE, EPOCHS),
)
