"""A table of numbers in a text file that some other program wrote: what can be read is read, the rest is said.

Memory is bounded: a file of more than :data:`MAX_ROWS` rows is thinned to every second, fourth, ... row.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from preflight.telemetry.decimal_mark import DecimalMarks, marks_by_column
from preflight.telemetry.numbers import is_absent, parse_number
from preflight.telemetry.text_lines import MAX_PROBLEMS, Problem, Problems, numbered_lines

MAX_ROWS = 1_000_000
SEPARATORS = (",", ";", "\t", "|")
# Shares of a column's cells: one with more that are no numbers than this holds text, and no mistakes.
TEXT_SHARE = 0.5


# Columns that count: a NaN there is no value that was not finite.
COUNTS = ("epoch", "step")


@dataclass(frozen=True)
class Delimited:
    """A table as it was read; None for one without a header or without a row. Its index is the place of each row in
    the file, from 0, those that were left out counted.
    """

    frame: pd.DataFrame | None
    problems: list[Problem]


def _is_never(name: str) -> bool:
    return False


@dataclass(frozen=True)
class Reading:
    """How cells are taken. ``nan_is_broken`` says of a column whether a cell that says NaN is infinity: it was not
    finite, where an empty one was not measured. ``is_norm`` says of a column whether its values are norms, of which a
    negative one is left out. ``may_be_cut_off`` is whether the file is being written: the last number of one whose
    last line has no end is left out, since it may have lost digits.
    """

    nan_is_broken: Callable[[str], bool] = _is_never
    is_norm: Callable[[str], bool] = _is_never
    may_be_cut_off: bool = False


def read_delimited(path: Path, texts: Collection[str] = (), reading: Reading = Reading()) -> Delimited:
    """Read a table with a header line; columns named in ``texts`` stay text.

    Separators are commas, semicolons, tabs and bars; a decimal comma is told from one between thousands. A row that is
    cut off or holds a cell that is no number is left out, with its line. Raises :class:`InputError` where the file
    cannot be opened.
    """
    problems = Problems(path.name)
    lines = ((number, line) for number, line in numbered_lines(path, problems) if not line.startswith("#"))
    number, header = next((item for item in lines if item[1].strip()), (0, ""))
    if not number:
        problems.add("empty")
        return Delimited(None, problems.listed())
    separator = max(SEPARATORS, key=header.count)
    names = [name.strip() for name in _cells(header, separator)]
    if all(parse_number(name) is not None for name in names):
        problems.add("has no header, but numbers", number)
        return Delimited(None, problems.listed())
    marks = _marks(path, separator)
    if any(item.is_guess for item in marks.values()):
        problems.add("commas in its numbers may stand between thousands; they were read as decimal ones")
    table = _Table(_unique(names, number, problems), separator, texts, problems, reading, marks)
    for number, line in lines:
        is_again = line == header  # which a run that was resumed may have written again
        if not is_again and (line.strip() or _is_row_of_nothing(line, header, separator)):
            table.add(number, line)
    if reading.may_be_cut_off and not _ends_a_line(path):
        table.doubt(number)
    frame = table.frame()
    if frame.empty:
        problems.add("has no rows")
    return Delimited(None if frame.empty else frame, problems.listed())


class _Table:
    """Columns that grow row by row."""

    def __init__(
        self,
        names: list[str],
        separator: str,
        texts: Collection[str],
        problems: Problems,
        reading: Reading,
        marks: Mapping[int, DecimalMarks],
    ) -> None:
        self._names, self._separator, self._problems = names, separator, problems
        self._marks = marks
        self._texts: dict[int, list[str]] = {index: [] for index, name in enumerate(names) if name in texts}
        self._numbers = {index: array("d") for index, name in enumerate(names) if name and index not in self._texts}
        self._lines, self._places = array("q"), array("q")
        self._unreadable = {index: array("q") for index in self._numbers}  # rows
        self._examples: dict[int, list[tuple[int, str]]] = {index: [] for index in self._numbers}
        self._rows, self._stride = 0, 1
        self._broken = {index: reading.nan_is_broken(name) for index, name in enumerate(names)}
        self._norms = {index for index, name in enumerate(names) if reading.is_norm(name)}

    def add(self, number: int, line: str) -> None:
        """Append a line's cells, or report it."""
        self._rows += 1
        if (self._rows - 1) % self._stride:
            return
        cells = _cells(line, self._separator)
        if len(cells) < len(self._names) or any(cell.strip() for cell in cells[len(self._names) :]):
            self._problems.add(f"{len(cells)} cells where the header has {len(self._names)}; left out", number)
            return
        self._lines.append(number)
        self._places.append(self._rows - 1)
        for index, text in self._texts.items():
            text.append(cells[index].strip())
        for index, column in self._numbers.items():
            column.append(self._value(index, cells[index], number))
        if len(self._lines) >= MAX_ROWS:
            self._thin()

    def _value(self, index: int, cell: str, number: int) -> float:
        plain = self._marks[index].plain(cell) if index in self._marks else cell
        value = None if plain is None else parse_number(plain)
        if value is None:
            self._note(index, number, cell)
            return math.nan
        if index in self._norms and -math.inf < value < 0:
            self._problems.add(
                f"{self._names[index]}={cell.strip()[:40]} is negative, which no norm is; left out", number
            )
            return math.nan
        is_broken = self._broken[index] and math.isnan(value) and not is_absent(cell)
        return math.inf if is_broken else value

    def doubt(self, number: int) -> None:
        """Leave out the number that line ``number`` ends with: it may go on where the file does not."""
        index = len(self._names) - 1
        column = self._numbers.get(index)
        if column and self._lines[-1] == number and math.isfinite(column[-1]):
            what = f"{self._names[index]}={column[-1]:g} ends the file within its line and may be cut off; left out"
            self._problems.add(what, number)
            column[-1] = math.nan

    def frame(self) -> pd.DataFrame:
        """The table without columns of text and without rows that hold a cell that is no number."""
        rows = len(self._lines)
        worded = {index for index, bad in self._unreadable.items() if len(bad) > TEXT_SHARE * rows}
        keep = np.full(rows, True)
        for index, bad in self._unreadable.items():
            if index in worded:
                self._problems.add(f"column '{self._names[index]}' holds no numbers; left out")
            elif bad:
                self._report(index)
                keep[np.array(bad)] = False
        if self._stride > 1:
            self._problems.add(f"has {self._rows} rows, of which every {self._stride}th was read")
        columns = {index: np.array(text, dtype=object) for index, text in self._texts.items()}
        columns |= {index: np.array(column) for index, column in self._numbers.items() if index not in worded}
        places = pd.Index(np.array(self._places, dtype=np.int64)[keep])
        return pd.DataFrame({self._names[index]: columns[index][keep] for index in sorted(columns)}, index=places)

    def _note(self, index: int, number: int, cell: str) -> None:
        self._unreadable[index].append(len(self._lines) - 1)
        if len(self._examples[index]) < MAX_PROBLEMS:
            self._examples[index].append((number, cell.strip()[:40]))

    def _report(self, index: int) -> None:
        for number, cell in self._examples[index]:
            self._problems.add(f"{self._names[index]}={cell!r} is no number; row left out", number)
        self._problems.count += len(self._unreadable[index]) - len(self._examples[index])

    def _thin(self) -> None:
        """Keep every second row, from now on too."""
        self._stride *= 2
        self._lines, self._places = self._lines[::2], self._places[::2]
        self._numbers = {index: column[::2] for index, column in self._numbers.items()}
        self._texts = {index: column[::2] for index, column in self._texts.items()}
        for index, rows in self._unreadable.items():
            self._unreadable[index] = array("q", [row // 2 for row in rows if row % 2 == 0])


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator)) if '"' in line else line.split(separator)
    except csv.Error:  # a cell beyond the module's limit
        return line.split(separator)


def _marks(path: Path, separator: str) -> dict[int, DecimalMarks]:
    """Decimal marks by column; empty where no cell has a comma, so that all are points."""
    sign = '"' if separator == "," else ","
    if not any(sign in line for _, line in _all_lines(path)):
        return {}
    return marks_by_column(_cells(line, separator) for _, line in _all_lines(path))


def _all_lines(path: Path) -> Iterator[tuple[int, str]]:
    return numbered_lines(path, Problems(path.name))


def _ends_a_line(path: Path) -> bool:
    """Whether the last character of a file, of one byte or two, is a line end."""
    with path.open("rb") as file:
        file.seek(-min(2, file.seek(0, 2)), 2)
        end = file.read()
    return end[-1:] in b"\r\n" or (end[1:] == b"\0" and end[:1] in b"\r\n")


def _is_row_of_nothing(line: str, header: str, separator: str) -> bool:
    """Whether a line that looks blank is a row of empty cells: between tabs there is nothing to see."""
    return line.count(separator) == header.count(separator) > 0


def _unique(names: list[str], number: int, problems: Problems) -> list[str]:
    """Names of the columns; one that came before, and one without a name, is empty."""
    kept: list[str] = []
    for name in names:
        if name and name in kept:
            problems.add(f"the header names '{name}' twice; the first one is read", number)
        kept.append("" if name in kept else name)
    return kept
