"""A telemetry directory of any tool, in the format of schema.py: what can be read is read, the rest is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from preflight.core.errors import InputError
from preflight.telemetry import store
from preflight.telemetry.absent import absent
from preflight.telemetry.delimited import COUNTS, Reading, read_delimited
from preflight.telemetry.recording import Recording, fault_of
from preflight.telemetry.schema import ASIDE, TABLES
from preflight.telemetry.text_lines import Problem

KNOWN = tuple(table.file for table in TABLES if "<" not in table.file)
ENDINGS = tuple(table.file.rpartition(">")[2] for table in TABLES if "<" in table.file)
TEXTS = {"parameters": ("name", "component")}
# Columns that every tool means the same by, however it writes them.
COMMON = ("epoch", "step", "overall")
STEP_NAMES = dict.fromkeys(("global_step", "iteration", "iter"), "step")
MAX_NAMED = 8


@dataclass(frozen=True)
class Foreign:
    """What a directory holds: a recording for each training run in it, what was not read, and what is not there."""

    recordings: tuple[Recording, ...]
    problems: tuple[Problem, ...]
    absent: tuple[Problem, ...] = ()


def open_foreign(folder: Path) -> Foreign:
    """Open a telemetry directory, a trial's folder or a run directory; of the latter, the trials of today's settings.

    Raises :class:`InputError` where there is no such folder, or no table in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    found = _open_tables(folder)
    if (folder / store.RUN).exists() and not found.recordings:
        return _open_run(folder)
    if not found.recordings:
        detail = f"; {found.problems[0]}" if found.problems else _others(folder)
        raise InputError(f"{folder} has no telemetry: none of {', '.join(KNOWN)}, <head>_stats.csv{detail}")
    return found


def _open_run(folder: Path) -> Foreign:
    trials = sorted(path.parent for path in (folder / store.TRIALS).glob(f"*/{store.TRIAL}"))
    opened = [item for item in map(_open_tables, trials) if item.recordings]
    problems = [problem for item in opened for problem in item.problems]
    recordings = [recording for item in opened for recording in item.recordings]
    if not recordings:
        raise InputError(f"{folder} has no recorded trial")
    return Foreign(tuple(_todays(folder, recordings) or recordings), tuple(problems))


def _todays(folder: Path, recordings: list[Recording]) -> list[Recording]:
    """The longest trials of today's settings: those that the candidates were compared with, or the explored one."""
    today = _document(folder / store.INSPECTION, []).get("today")
    if today is None:
        return []
    own = [recording for recording in recordings if recording.info.get("params") == today]
    stages = ([item for item in own if item.info.get("purpose") == stage] for stage in ("confirm", "explore"))
    return next((found for found in stages if found), [])


def _open_tables(folder: Path) -> Foreign:
    tables: dict[str, pd.DataFrame] = {}
    unread: dict[str, str] = {}
    problems: list[Problem] = []
    info = _trial(folder / store.TRIAL, problems)
    for path in sorted(path for path in folder.iterdir() if _is_table(path.name)):
        frame = _frame(path, problems)
        if frame is None:
            unread[_name(path)] = f"{path.name} could not be read: {problems[-1].text}"
        else:
            tables[_name(path)] = frame
    facts = _document(folder.parent.parent / store.FACTS, problems) if info else {}
    if not tables:
        return Foreign((), tuple(problems))
    recording = Recording(folder, info, facts, tables, unread, is_own=bool(info))
    return Foreign((recording,), tuple(problems), () if info else tuple(absent(tables, unread)))


def _frame(path: Path, problems: list[Problem]) -> pd.DataFrame | None:
    """A table with its common columns by their common names, in the order of its steps; None where it has no row."""
    try:
        read = read_delimited(path, TEXTS.get(_name(path), ()), _reading(_name(path)))
    except InputError as error:
        problems.append(Problem(path.name, str(error).removeprefix(f"{path} ")))
        return None
    problems += read.problems
    if read.frame is None:
        return None
    frame = read.frame.rename(columns=_common(read.frame.columns))
    problems += _without_epoch(path, frame)
    steps = frame.get("step")
    if steps is None or steps.isna().any() or steps.is_monotonic_increasing:
        return frame
    problems.append(Problem(path.name, "rows are not in the order of their steps; sorted by 'step'"))
    return frame.sort_values("step", kind="stable", ignore_index=True)


def _reading(table: str) -> Reading:
    return Reading(_is_measured_always, partial(_is_norm, table), may_be_cut_off=True)


def _is_measured_always(column: str) -> bool:
    """Whether a NaN was not finite: where nothing was evaluated, many programs say NaN."""
    return _common_name(column) not in COUNTS and not column.startswith("val")


def _is_norm(table: str, column: str) -> bool:
    """Whether a column of a table holds norms or deviations, which are never negative."""
    if table == "gradient_norms":
        return _common_name(column) not in COUNTS and column.lower() not in ASIDE
    if table == "weight_deltas":
        return column.endswith("_delta")
    return column in ("weight_norm_mean", "weight_norm_std", "weight_std")


def _is_table(name: str) -> bool:
    return name.lower() in KNOWN or name.lower().endswith(ENDINGS)


def _name(path: Path) -> str:
    """Name of a table: in lower case where the file's name is known, a head's as it is written."""
    stem = path.name[: -len(".csv")]
    return stem.lower() if path.name.lower() in KNOWN else stem


def _common(columns: Iterable[str]) -> dict[str, str]:
    """Names of columns as they are written -> as every tool means them."""
    names = list(columns)
    found: dict[str, str] = {}
    for name in names:
        common = _common_name(name)
        if common in COMMON and common not in names and common not in found.values():
            found[name] = common
    return found


def _common_name(name: str) -> str:
    return STEP_NAMES.get(name.lower(), name.lower())


def _without_epoch(path: Path, frame: pd.DataFrame) -> list[Problem]:
    if "epoch" in frame or path.name.lower() == "parameters.csv":
        return []
    return [Problem(path.name, "has no column 'epoch'; aggregates by epoch are not applicable")]


def _trial(path: Path, problems: list[Problem]) -> Mapping[str, Any]:
    """A trial's own account of itself; empty where there is none of preflight's."""
    info = _document(path, problems)
    if info and (fault := fault_of(info)):
        problems.append(Problem(path.name, f"is no account of a trial of preflight: it {fault}"))
        return {}
    return info


def _document(path: Path, problems: list[Problem]) -> Mapping[str, Any]:
    """A JSON object of preflight's own, empty where there is none."""
    if not path.exists():
        return {}
    try:
        found = store.read_json(path)
    except (OSError, ValueError) as error:
        problems.append(Problem(path.name, f"cannot be read: {error}"))
        return {}
    if isinstance(found, dict):
        return found
    problems.append(Problem(path.name, f"holds {type(found).__name__} where an object belongs"))
    return {}


def _others(folder: Path) -> str:
    """What is there instead, and what reads it."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".csv", ".json", ".log", ".jsonl"))
    if not names:
        return ""
    listed = ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")
    return f"; found {listed} (a history or a log is read by preflight audit)"
