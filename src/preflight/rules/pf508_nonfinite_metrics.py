"""PF508: a saved or printed loss that ceases to be finite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, NOTE, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.series import HISTORY, LOG
from preflight.telemetry.metric_names import LOSS, TRAIN, Meaning, meaning
from preflight.telemetry.recording import Recording

EVALUATIONS = Threshold(
    "EVALUATIONS",
    2,
    "values of a validation are finite before at least, one after another, and as many are not after them",
    "what stands for an epoch without a validation comes again and again; a training loss that is not finite is never "
    "such a place holder",
)


@dataclass(frozen=True)
class Broken:
    """A loss of which ``count`` values at the end are not finite, from ``epoch`` on, and ``finite`` before; ``at_once``
    where all of these are. ``between`` are the epochs of values that are not finite, with finite ones around them.
    """

    name: str
    meaning: Meaning
    table: str
    finite: int
    count: int
    total: int
    epoch: float
    at_once: bool
    between: tuple[float, ...]


def check(recording: Recording) -> Answer:
    """Judge the losses of the history and of the log."""
    found = [list(_losses(recording, table)) for table in (HISTORY, LOG)]
    if not any(found):
        raise MissingError("there is no history and no log with a loss")
    broken = [item for losses in found for item in _meant([item for item in losses if item.count])]
    if broken:
        return _finding(broken)
    passing = [item for losses in found for item in losses if item.between and item.meaning.split == TRAIN]
    return _passing(passing[0]) if passing else Clean()


def _losses(recording: Recording, table: str) -> Iterator[Broken]:
    """Every loss of a table by how it ends."""
    try:
        names = recording.names(table)
    except MissingError:
        return
    epochs = recording.column(table, "epoch")
    for name in names:
        known, values = meaning(name), recording.column(table, name)
        rows = np.flatnonzero(~np.isnan(values))
        if known is None or known.kind != LOSS or not len(rows):
            continue
        finite = np.flatnonzero(np.isfinite(values[rows]))
        begin = int(finite[-1]) + 1 if len(finite) else 0
        epoch = float(epochs[rows[begin]]) if begin < len(rows) else math.nan
        at_once = begin == len(finite)
        # Before the first finite one there was nothing to show yet.
        between = np.setdiff1d(np.arange(finite[0] if len(finite) else 0, begin), finite)
        passed = tuple(epochs[rows[between]].tolist())
        yield Broken(name, known, table, len(finite), len(rows) - begin, len(rows), epoch, at_once, passed)


def _meant(broken: Sequence[Broken]) -> list[Broken]:
    """Without what stands for nothing: a part that has no value at all, validations that did not take place."""
    training = [item for item in broken if item.meaning.split == TRAIN and (item.finite or item.meaning.key == "")]
    if training:
        return [*training, *(item for item in broken if item.meaning.split != TRAIN and item.finite)]
    return [item for item in broken if item.at_once and min(item.finite, item.count) >= EVALUATIONS.value]


def _finding(broken: Sequence[Broken]) -> Finding:
    first = min(broken, key=lambda item: (item.epoch, item.meaning.split != TRAIN))
    alike = [item for item in broken if (item.table, item.epoch) == (first.table, first.epoch)]
    named = " and ".join(item.name for item in alike)
    unit = "epochs" if first.table == HISTORY else "lines"
    since = f" from epoch {first.epoch:g} on" if math.isfinite(first.epoch) else ""
    return Finding(
        ERROR,
        f"{named} {'is' if len(alike) == 1 else 'are'} not finite{since}: NaN or infinite in the last {first.count} of "
        f"{first.total} {unit} of the {first.table}",
        tuple(
            Evidence(f"{item.name} that is not finite, at the end of the {item.table}", item.count, 0)
            for item in broken
        ),
        (
            Remedy(
                "lower the learning rate or clip gradients, and look at logarithms, roots and divisions in the loss"
            ),
            Remedy("where the training ended there, save the epochs that ran, and not the rest of an array"),
        ),
        where=first.name,
        strength=10.0,
    )


def _passing(item: Broken) -> Finding:
    """A training loss that is not finite and becomes so again: worth knowing, and not why the run fails."""
    unit = "epochs" if item.table == HISTORY else "lines"
    first = f", first in epoch {item.between[0]:g}" if math.isfinite(item.between[0]) else ""
    return Finding(
        NOTE,
        f"{item.name} is not finite in {len(item.between)} of {item.total} {unit} of the {item.table}{first}, and "
        "finite again after that: a step was passed over, or the mean of nothing was saved",
        (Evidence(f"{item.name} that is not finite, with finite values after it", len(item.between), 0),),
        (Remedy("find the batch, and what in its samples or in the loss is not finite"),),
        where=item.name,
    )


RULE = Rule(
    code="PF508",
    name="nonfinite-metrics",
    title="A saved loss is not finite",
    detects="A loss of the history or of the log is NaN or infinite from some epoch on, up to the end; a note where a "
    "training loss becomes finite again, so that the step was passed over. Metrics are left alone, which may be "
    "undefined, and so are empty cells and null, where nothing was measured.",
    matters="The weights are NaN since then, and every epoch after it was for nothing.",
    fix="Find the first step with such a loss (PF108 names it where the run is recorded), and its batch. Lower the "
    "learning rate, clip, or guard the operation that has no finite result.",
    check=check,
    thresholds=(EVALUATIONS,),
    causes=("PF502",),
)
