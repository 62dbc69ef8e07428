"""Metrics that a training printed: found in its console log by what they look like, or by a pattern of the user's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from preflight.core.errors import InputError
from preflight.telemetry.metric_names import is_metric, with_split
from preflight.telemetry.numbers import parse_number
from preflight.telemetry.text_lines import Problem, Problems, numbered_lines

# Progress bars print a line many times a second: beyond this every second one is dropped, again and again.
MAX_ROWS = 100_000
EXAMPLE = r"ep (?P<epoch>\d+) .* L=(?P<train_loss>[\d.]+)"
OWN_GROUPS = ("epoch", "step", "split")

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"
_SPLIT = r"train(?:ing)?|val(?:id(?:ation)?)?|eval(?:uation)?|test(?:ing)?|dev"
# name=1.0  'name': 1.0  Name: 18.52 (18.40)  Name 7.0e+00 (7.1e+00)  Train Loss 0.5  top-1: 3.9 %
_METRIC = re.compile(
    rf"(?<![\w.])(?P<name>(?:(?:best|{_SPLIT})[\s/_.:-]+)*[A-Za-z](?:[\w@/.]|-(?=\w))*)['\"]?\s*[=:\s]\s*['\"]?"
    rf"(?P<value>{_NUMBER})(?![\w:.])(?P<percent>\s?%)?",
    re.IGNORECASE,
)
_EPOCH = re.compile(r"(?<![A-Za-z])ep(?:och)?['\"]?\s*[:=#]?\s*[\[\"']?\s*(?P<epoch>\d+(?:\.\d+)?)", re.IGNORECASE)
_STEP = re.compile(
    r"(?:\b(?:global_)?(?:step|iter(?:ation)?|it|batch)s?['\"]?\s*[:=#]?\s*\[?\s*(?P<named>\d+)(?!\.\d|\s*it/s)"
    r"|(?<!poch)(?<!poch )(?<!poch: )\[\s*(?P<boxed>\d+)\s*/\s*\d+\s*\]|\|\s*(?P<bar>\d+)/\d+\s*\[)",
    re.IGNORECASE,
)
_SPLIT_WORD = re.compile(rf"(?<![A-Za-z/_.-])(?:{_SPLIT})(?![A-Za-z_/-]|\.[a-z])", re.IGNORECASE)
_COLORS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class ConsoleLog:
    """A row for each line with a metric: ``epoch``, ``step``, ``line``, and the metrics by ``split_name``."""

    frame: pd.DataFrame
    problems: list[Problem]


def read_console_log(path: Path, pattern: str | None = None) -> ConsoleLog:
    """Read what a log tells of losses and metrics; values are as printed, a percentage stays one.

    ``pattern`` has a named group for each metric, and may have ``epoch``, ``step`` and ``split``. Raises
    :class:`InputError` where it is none, or where nothing is found.
    """
    problems = Problems(path.name)
    found = (_built_in if pattern is None else _compiled(pattern)).rows(path, problems)
    rows = _bounded(found)
    if not rows:
        how = f"--pattern {pattern} fits no line" if pattern else f"give --pattern with named groups, as '{EXAMPLE}'"
        raise InputError(f"no loss or metric was found in {path}; {how}")
    frame = pd.DataFrame(rows)
    first = [name for name in ("epoch", "step", "line") if name in frame]
    return ConsoleLog(frame[[*first, *(name for name in frame if name not in first)]], problems.listed())


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
            values = {name: parse_number(item) for name, item in cells.items() if name != "split"}
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


class _BuiltIn:
    """Lines by what metrics look like in the logs of the field."""

    def rows(self, path: Path, problems: Problems) -> Iterator[dict[str, float]]:
        epoch = np.nan
        for number, text in _texts(path, problems):
            if found := _EPOCH.search(text):
                epoch = float(found["epoch"])
            metrics = metrics_in(text)
            if metrics:
                yield {"epoch": epoch, "step": _step(text), "line": float(number), **metrics}


_built_in = _BuiltIn()


def metrics_in(text: str) -> dict[str, float]:
    """Losses and metrics of a line by ``split_name``; of a name that comes twice, the last."""
    words = [(found.start(), found[0]) for found in _SPLIT_WORD.finditer(text)]
    values = {
        with_split(found["name"], _split_at(found.start(), words)): parse_number(found["value"])
        for found in _METRIC.finditer(text)
        if is_metric(found["name"])
    }
    return {name: value for name, value in values.items() if value is not None}


def _split_at(position: int, words: list[tuple[int, str]]) -> str:
    """The split named last before a position of the line, or else the first one after it."""
    before = [word for start, word in words if start <= position]
    return before[-1] if before else next((word for _, word in words), "")


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
