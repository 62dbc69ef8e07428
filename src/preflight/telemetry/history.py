"""Metrics of a finished training, as the field saves them: one row an epoch, or one whenever something was logged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from preflight.core.errors import InputError
from preflight.telemetry.delimited import COUNTS, Reading, read_delimited
from preflight.telemetry.saved_number import saved_number, told
from preflight.telemetry.text_lines import Problem, Problems

FORMATS = (
    "an object of lists, a list of objects, JSON lines, a Hugging Face trainer_state.json, or a CSV file with a header"
)
MAX_NUMBER = 10**308
DELIMITED = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class History:
    """Series as columns, and what could not be read.

    NaN is where nothing was saved, infinity where that was not finite. ``counts_rows`` is whether the file tells no
    epoch, so that its rows are counted.
    """

    frame: pd.DataFrame
    problems: list[Problem]
    counts_rows: bool = False


def read_history(path: Path) -> History:
    """Read a history; raises :class:`InputError` where there is none in the file.

    The frame has an ``epoch`` column: the file's own, or the number of the row from 1, as logs print epochs.
    """
    problems = Problems(path.name)
    frame = _frame(path, problems)
    if frame.empty or not len(frame.columns):
        raise InputError(f"{path} holds no series of numbers; it may be {FORMATS}")
    counts_rows = "epoch" not in frame
    if counts_rows:
        frame.insert(0, "epoch", frame.index.to_numpy(dtype=np.float64) + 1)
    return History(_without_place_holders(frame), problems.listed(), counts_rows)


def _without_place_holders(frame: pd.DataFrame) -> pd.DataFrame:
    """NaN for what is infinite because rows of another kind hold its place: they tell what its own rows do not.

    Only where it becomes finite again: what breaks for good is no place holder.
    """
    finite = {str(name): np.isfinite(frame[name].to_numpy()) for name in frame if name not in COUNTS}
    found = frame.copy()
    for name, own in finite.items():
        broken = np.isinf(frame[name].to_numpy())
        comes_back = own.any() and broken.any() and np.flatnonzero(own)[-1] > np.flatnonzero(broken)[0]
        others = (other for other in finite.values() if other[broken].all() and not other[own].any())
        if comes_back and next(others, None) is not None:
            found.loc[broken, name] = np.nan
    return found


def _is_value(column: str) -> bool:
    """Whether a NaN in a column is a value that was not finite."""
    return column.lower() not in COUNTS


def _frame(path: Path, problems: Problems) -> pd.DataFrame:
    if path.suffix.lower() in DELIMITED:
        read = read_delimited(path, reading=Reading(_is_value))
        problems.kept += read.problems
        problems.count += len(read.problems)
        return pd.DataFrame() if read.frame is None else read.frame
    document = _document(path, problems)
    if isinstance(document, Mapping) and isinstance(document.get("log_history"), list):
        document = document["log_history"]
    if isinstance(document, list):
        return _from_rows(document, problems)
    if isinstance(document, Mapping):
        return _from_rows(by_epoch, problems) if (by_epoch := _by_epoch(document)) else _from_lists(document, problems)
    raise InputError(f"{path} holds {type(document).__name__} where a history belongs: {FORMATS}")


def _document(path: Path, problems: Problems) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        rows = list(_json_lines(text, problems))
        if not rows:
            raise InputError(f"{path} is no JSON ({error}); a history is {FORMATS}") from error
        return rows


def _json_lines(text: str, problems: Problems) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            problems.add("is no JSON; left out", number)
            continue
        if isinstance(row, Mapping):
            yield row


def _by_epoch(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows of ``{"1": {"loss": ...}, "2": ...}``; empty where the object is none of that kind."""
    if not document or not all(key.isdigit() and isinstance(row, Mapping) for key, row in document.items()):
        return []
    return [{"epoch": int(key), **row} for key, row in sorted(document.items(), key=lambda item: int(item[0]))]


def _from_rows(rows: Sequence[Any], problems: Problems) -> pd.DataFrame:
    """A row for each object; what is no number is left out with its column."""
    columns: dict[str, list[float]] = {}
    objects = [dict(_flat(row)) for row in rows if isinstance(row, Mapping)]
    if len(objects) < len(rows):
        problems.add(f"{len(rows) - len(objects)} of {len(rows)} entries are no objects; left out")
    for index, row in enumerate(objects):
        for name, value in row.items():
            number = _number(value)
            if number is not None:
                columns.setdefault(name, [np.nan] * len(objects))[index] = number
    return pd.DataFrame(columns)


def _from_lists(document: Mapping[str, Any], problems: Problems) -> pd.DataFrame:
    """A column for each list of numbers, the shorter ones filled up; what is no such list is left out."""
    series: dict[str, list[float]] = {}
    for name, values in _flat(document):
        if not isinstance(values, list) or not values:
            continue
        numbers = [_number(value) for value in values]
        if any(number is None for number in numbers):
            problems.add(f"'{name}' is no list of numbers; left out")
        else:
            series[name] = [np.nan if number is None else number for number in numbers]
    length = max(map(len, series.values()), default=0)
    for name, values in series.items():
        if len(values) < length:
            problems.add(f"'{name}' has {len(values)} values where others have {length}")
    return pd.DataFrame({name: pd.Series(values, dtype=np.float64) for name, values in series.items()})


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names joined by underscores: ``{"train": {"loss": [...]}}`` -> ``train_loss``. ``history`` is no part of one."""
    for key, value in document.items():
        name = f"{prefix}_{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value and all(str(inner).isdigit() for inner in value):
            yield name, [value[inner] for inner in sorted(value, key=int)]  # as pandas writes a column
        elif isinstance(value, Mapping):
            yield from _flat(value, "" if name in ("history", "metrics") else name)
        else:
            yield name, value


def _number(value: Any) -> float | None:
    if value is None:
        return np.nan
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return told(float(value)) if abs(value) < MAX_NUMBER or isinstance(value, float) else None
    if isinstance(value, list) and len(value) == 1:
        return _number(value[0])
    return saved_number(value) if isinstance(value, str) else None
