"""Metrics that a training printed: found in its console log by what they look like, or by a pattern of the user's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from preflight.core.errors import InputError
from preflight.telemetry.log_line import DECIMAL, THOUSANDS, comma_of, metrics_in
from preflight.telemetry.metric_names import with_split
from preflight.telemetry.saved_number import saved_number
from preflight.telemetry.text_lines import Problem, Problems, numbered_lines

# Progress bars print a line many times a second: beyond this every second one is dropped, again and again.
MAX_ROWS = 100_000
EXAMPLE = r"ep (?P<epoch>\d+) .* L=(?P<train_loss>[\d.]+)"
OWN_GROUPS = ("epoch", "step", "split")

_EPOCH = re.compile(r"(?<![A-Za-z])ep(?:och)?['\"]?\s*[:=#]?\s*[\[\"']?\s*(?P<epoch>\d+(?:\.\d+)?)", re.IGNORECASE)
_STEP = re.compile(
    r"(?:\b(?:global_)?(?:step|iter(?:ation)?|it|batch)s?['\"]?\s*[:=#]?\s*\[?\s*(?P<named>\d+)(?!\.\d|\s*it/s)"
    r"|(?<!poch)(?<!poch )(?<!poch: )\[\s*(?P<boxed>\d+)\s*/\s*\d+\s*\]|\|\s*(?P<bar>\d+)/\d+\s*\[)",
    re.IGNORECASE,
)
_COLORS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class ConsoleLog:
    """A row for each line with a metric: ``epoch``, ``step``, ``line``, and the metrics by ``split_name``."""

    frame: pd.DataFrame
    problems: list[Problem]


def read_console_log(path: Path, pattern: str | None = None) -> ConsoleLog:
    """Read what a log tells of losses and metrics; values are as printed, a percentage stays one, NaN is infinity.

    ``pattern`` has a named group for each metric, and may have ``epoch``, ``step`` and ``split``. Raises
    :class:`InputError` where it is none, or where nothing is found.
    """
    rows, problems = _read(path, _BuiltIn() if pattern is None else _compiled(pattern))
    if not rows:
        how = f"--pattern {pattern} fits no line" if pattern else f"give --pattern with named groups, as '{EXAMPLE}'"
        raise InputError(f"no loss or metric was found in {path}; {how}")
    frame = pd.DataFrame(rows)
    first = [name for name in ("epoch", "step", "line") if name in frame]
    return ConsoleLog(frame[[*first, *(name for name in frame if name not in first)]], problems.listed())


def _read(path: Path, lines: _Own | _BuiltIn) -> tuple[list[dict[str, float]], Problems]:
    """Rows and what was left out; read again where it turns out that decimals are written with a comma."""
    problems = Problems(path.name)
    rows = _bounded(lines.rows(path, problems))
    if isinstance(lines, _BuiltIn) and lines.comma == THOUSANDS and lines.has_decimal_commas:
        return _read(path, _BuiltIn(DECIMAL))
    return rows, problems


@dataclass(frozen=True)
class _Own:
    """Lines by a pattern of the user's."""

    pattern: re.Pattern[str]

    def rows(self, path: Path, problems: Problems) -> Iterator[dict[str, float]]:
        epoch = np.nan
        for number, text in _texts(path, problems):
            found = self.pattern.search(text)
            if found is None:
                continue
            cells = {name: item for name, item in found.groupdict().items() if item is not None}
            values = {name: saved_number(item) for name, item in cells.items() if name != "split"}
            for name in [name for name, value in values.items() if value is None]:
                problems.add(f"{name}={cells[name][:40]!r} is no number; left out", number)
            known = {name: value for name, value in values.items() if value is not None}
            epoch = known.pop("epoch", epoch)
            split = cells.get("split", "")
            metrics = {with_split(name, split): value for name, value in known.items() if name != "step"}
            if metrics:
                yield {"epoch": epoch, "step": known.get("step", np.nan), "line": float(number), **metrics}


def _compiled(pattern: str) -> _Own:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--pattern {pattern} is no regular expression: {error}") from error
    if not set(compiled.groupindex) - set(OWN_GROUPS):
        raise InputError(f"--pattern {pattern} has no named group for a metric; an example is '{EXAMPLE}'")
    return _Own(compiled)


@dataclass
class _BuiltIn:
    """Lines by what metrics look like in the logs of the field; ``commas`` counts what commas in numbers must be."""

    comma: str = THOUSANDS
    commas: Counter[str | None] = field(default_factory=Counter)

    def rows(self, path: Path, problems: Problems) -> Iterator[dict[str, float]]:
        epoch = np.nan
        for number, text in _texts(path, problems):
            if found := _EPOCH.search(text):
                epoch = float(found["epoch"])
            metrics = self._metrics(text, number, problems)
            if metrics:
                yield {"epoch": epoch, "step": _step(text), "line": float(number), **metrics}

    def _metrics(self, text: str, number: int, problems: Problems) -> dict[str, float]:
        """By their names; of a name that comes twice, the last."""
        values = {}
        for item in metrics_in(text):
            self.commas[comma_of(item.value)] += 1
            if (value := item.number(self.comma)) is None:
                problems.add(f"{item.name}={item.value[:40]!r} is no number; left out", number)
            else:
                values[item.name] = value
        return values

    @property
    def has_decimal_commas(self) -> bool:
        """Whether some commas can be nothing else, and none says otherwise."""
        return self.commas[DECIMAL] > 0 and not self.commas[THOUSANDS]


def _step(text: str) -> float:
    found = _STEP.search(text)
    return float(found["named"] or found["boxed"] or found["bar"]) if found else np.nan


def _texts(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Lines without colours; what a progress bar printed over itself are lines of their own, as text files have it."""
    for number, line in numbered_lines(path, problems):
        yield number, _COLORS.sub("", line)


def _bounded(rows: Iterator[dict[str, float]]) -> list[dict[str, float]]:
    kept: list[dict[str, float]] = []
    stride = 1
    for index, row in enumerate(rows):
        if index % stride == 0:
            kept.append(row)
        if len(kept) >= MAX_ROWS:
            kept, stride = kept[::2], 2 * stride
    return kept
