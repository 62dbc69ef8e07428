"""PF108: the first value that is not finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.components import DELTA, STATS, head_names
from preflight.rules.ladder_facts import lowered_rate
from preflight.rules.predicates import Array, first_nonfinite
from preflight.telemetry.recording import Measured, Recording
from preflight.telemetry.schema import ASIDE

WHOLE = ("overall", "total")
SILENT = Threshold(
    "SILENT",
    3,
    "rows at the end are empty at least, and twice the longest gap before",
    "a logger that skips rows does so from the start; a run that ended while it wrote leaves one row or two",
)
MIN_ROWS = 20


@dataclass(frozen=True)
class _Broken:
    """A column that ceases to be finite at ``step``; ``rank`` is its place among the columns."""

    step: int
    rank: int
    what: str
    name: str
    place: str


def check(recording: Recording) -> Answer:
    """Take the trial's own account, and else the tables."""
    outcome = recording.info.get("outcome", {})
    if outcome.get("status") == "diverged" and outcome.get("step") is not None:
        return _told(outcome, recording)
    found = _first(recording)
    if found is not None:
        return _finding(f"{found.what} is not finite at {found.place}", found.step, found.name, (), recording)
    return Clean() if recording.is_own else _falls_silent(recording) or Clean()


def _told(outcome: Mapping[str, Any], recording: Recording) -> Finding:
    step, where = int(outcome["step"]), str(outcome.get("culprit", ""))
    reason = str(outcome.get("reason", "")) or f"{where!r} is not finite at step {step}"
    batch = outcome.get("batch")
    evidence = []
    if batch is not None:
        reason += f" (batch {int(batch)} of its epoch)"
        evidence.append(Evidence("batch of its epoch", int(batch)))
    samples = [str(number) for number in outcome.get("samples", ())]
    if samples:
        evidence.append(
            Evidence("training samples in it, those that are not finite or the first few", ", ".join(samples))
        )
    return _finding(reason, step, where, tuple(evidence), recording)


def _first(recording: Recording) -> _Broken | None:
    """What ceased to be finite first; a gradient comes before the loss that shows it."""
    if not any(_is_there(recording, table) for table, _ in _tables(recording)):
        if recording.is_own:
            raise MissingError("there is neither gradient_norms.csv nor losses.csv")
        raise MissingError(f"there is none of {', '.join(f'{table}.csv' for table, _ in _tables(recording))}")
    found = list(_columns(recording))
    broken = [item for rank, column in enumerate(found) if (item := _broken(rank, column)) is not None]
    return min(broken, key=lambda item: (item.step, item.rank)) if broken else None


def _tables(recording: Recording) -> Iterator[tuple[str, str]]:
    """Tables to look at and how their columns are called; of preflight's own, these two say it all."""
    yield "gradient_norms", "the gradient of"
    yield "losses", "the loss"
    if not recording.is_own:
        yield "weight_deltas", "the change of"
        yield "learning_rates", "the learning rate of"
        yield from ((f"{head}{STATS}", f"{head}'s") for head in head_names(recording))


def _is_there(recording: Recording, table: str) -> bool:
    try:
        return recording.table(table) is not None
    except MissingError:
        return False


def _columns(recording: Recording) -> Iterator[tuple[str, str, Measured]]:
    """Name, description and values of what should be finite."""
    for table, kind in _tables(recording):
        if not _is_there(recording, table):
            continue
        names = recording.names(table)
        aside = ASIDE if table == "gradient_norms" else ()
        named = [name for name in names if not name.startswith("val_") and name.lower() not in aside]
        found = {name: recording.measured(table, name) for name in named}
        if table == "weight_deltas":  # before the first row there is nothing that it could have changed from
            found = {name: Measured(item.steps[1:], item.values[1:], item.unit) for name, item in found.items()}
        # The whole is not finite where a part is: the part says more.
        for name in sorted(_recorded(found, recording.is_own), key=lambda name: name in WHOLE):
            yield name, f"{kind} {name.removesuffix(DELTA)!r}", found[name]


def _recorded(columns: Mapping[str, Measured], is_own: bool) -> list[str]:
    """Columns without those that are never finite beside others that are: what is frozen has no gradient."""
    never = [
        name
        for name, item in columns.items()
        if (np.isnan(item.values).all() if is_own else not np.isfinite(item.values).any())
    ]
    is_all = len(never) == len(columns)
    return [name for name in columns if name not in never or (is_all and not is_own)]


def _broken(rank: int, column: tuple[str, str, Measured]) -> _Broken | None:
    name, what, found = column
    row = first_nonfinite(found.values)
    return None if row is None else _Broken(int(found.steps[row]), rank, what, name, found.place(row))


def _falls_silent(recording: Recording) -> Finding | None:
    """A column that was measured all along and is empty at the end: many programs write NaN as an empty cell."""
    for table, kind in _tables(recording):
        for name in sorted(recording.names(table) if table in (recording.tables or {}) else (), key=WHOLE.__contains__):
            values = recording.column(table, name)
            silent = len(values) - _last_measured(values) - 1
            if not SILENT.value <= silent < len(values) - MIN_ROWS or silent <= 2 * _longest_gap(values):
                continue
            first = len(values) - silent
            return Finding(
                WARNING,
                f"{kind} {name!r} is empty in the last {silent} rows, where it was written in those before: pandas and "
                "others write NaN as an empty cell",
                (Evidence("empty rows at the end", silent, SILENT.value, "rows"),),
                (Remedy("see whether the loss was NaN there; if so, look at the samples of that batch"),),
                where=name,
                step=int(recording.steps_of(table)[first]),
            )
    return None


def _last_measured(values: Array) -> int:
    rows = np.flatnonzero(~np.isnan(values))
    return int(rows[-1]) if len(rows) else -1


def _longest_gap(values: Array) -> int:
    """Most empty rows in a row before the last one measured."""
    rows = np.flatnonzero(~np.isnan(values))
    return int(np.diff(rows, prepend=-1).max()) - 1


def _finding(reason: str, step: int, where: str, evidence: tuple[Evidence, ...], recording: Recording) -> Finding:
    remedies = [
        Remedy("look at the samples of that batch, and at logarithms, roots and divisions between input and loss"),
        Remedy("lower the learning rate", lowered_rate(recording, 10)),
    ]
    if step == 0:
        remedies = remedies[:1]  # before the first update no learning rate is to blame
    return Finding(
        ERROR,
        reason,
        (Evidence("first step with a value that is not finite", step, unit="steps"), *evidence),
        tuple(remedies),
        where=where,
        step=step,
        strength=10.0,
    )


RULE = Rule(
    code="PF108",
    name="first-nonfinite",
    title="A value is not finite",
    detects="A loss or a gradient is NaN or infinite; the first such step is named, with the parameter or loss and, "
    "where the run recorded them, the batch and its samples. Of another tool's tables every column is looked at; an "
    "empty cell is not measured, but cells that are empty from some row to the end are a warning.",
    matters="One step with such a gradient makes every weight NaN; nothing that follows is worth computing.",
    fix="Clean the samples that are not finite themselves; guard logarithms, roots and divisions with a small "
    "constant; else lower the learning rate or clip.",
    check=check,
    thresholds=(SILENT,),
)
