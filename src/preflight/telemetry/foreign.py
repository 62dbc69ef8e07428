"""A telemetry directory of any tool, in the format of schema.py: what can be read is read, the rest is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from preflight.core.errors import InputError
from preflight.telemetry import store
from preflight.telemetry.delimited import read_delimited
from preflight.telemetry.recording import Recording
from preflight.telemetry.schema import TABLES
from preflight.telemetry.text_lines import Problem

KNOWN = tuple(table.file for table in TABLES if "<" not in table.file)
ENDINGS = tuple(table.file.rpartition(">")[2] for table in TABLES if "<" in table.file)
TEXTS = {"parameters": ("name", "component")}
# Columns that every tool means the same by, however it writes them.
COMMON = ("epoch", "step", "overall")
MAX_NAMED = 8


@dataclass(frozen=True)
class Foreign:
    """What a directory holds: a recording for each training run in it, and what could not be read."""

    recordings: tuple[Recording, ...]
    problems: tuple[Problem, ...]


def open_foreign(folder: Path) -> Foreign:
    """Open a telemetry directory, a trial's folder or a run directory; of the latter, the trials of today's settings.

    Raises :class:`InputError` where there is no such folder, or no table in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    if (folder / store.RUN).exists():
        return _open_run(folder)
    found = _open_tables(folder)
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
    path = folder / store.INSPECTION
    if not path.exists():
        return []
    today = store.read_json(path).get("today")
    own = [recording for recording in recordings if recording.info.get("params") == today]
    stages = ([item for item in own if item.info.get("purpose") == stage] for stage in ("confirm", "explore"))
    return next((found for found in stages if found), [])


def _open_tables(folder: Path) -> Foreign:
    tables: dict[str, pd.DataFrame] = {}
    problems: list[Problem] = []
    for path in sorted(path for path in folder.iterdir() if _is_table(path.name)):
        read = read_delimited(path, TEXTS.get(_name(path), ()))
        problems += read.problems
        if read.frame is not None:
            tables[_name(path)] = read.frame.rename(columns=_common(read.frame.columns))
            problems += _without_epoch(path, tables[_name(path)])
    info = _document(folder / store.TRIAL, problems)
    facts = _document(folder.parent.parent / store.FACTS, problems) if info else {}
    recordings = (Recording(folder, info, facts, tables),) if tables else ()
    return Foreign(recordings, tuple(problems))


def _is_table(name: str) -> bool:
    return name.lower() in KNOWN or name.lower().endswith(ENDINGS)


def _name(path: Path) -> str:
    """Name of a table: in lower case where the file's name is known, a head's as it is written."""
    stem = path.name[: -len(".csv")]
    return stem.lower() if path.name.lower() in KNOWN else stem


def _common(columns: Iterable[str]) -> dict[str, str]:
    return {name: name.lower() for name in columns if name.lower() in COMMON and name.lower() not in columns}


def _without_epoch(path: Path, frame: pd.DataFrame) -> list[Problem]:
    if "epoch" in frame or path.name.lower() == "parameters.csv":
        return []
    return [Problem(path.name, "has no column 'epoch'; aggregates by epoch are not applicable")]


def _document(path: Path, problems: list[Problem]) -> Mapping[str, Any]:
    """A JSON object of preflight's own, empty where there is none."""
    if not path.exists():
        return {}
    try:
        found = store.read_json(path)
    except (OSError, ValueError) as error:
        problems.append(Problem(path.name, f"cannot be read: {error}"))
        return {}
    return found if isinstance(found, dict) else {}


def _others(folder: Path) -> str:
    """What is there instead, and what reads it."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".csv", ".json", ".log", ".jsonl"))
    if not names:
        return ""
    listed = ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")
    return f"; found {listed} (a history or a log is read by preflight audit)"
