"""Text files of other programs, a line at a time: any encoding, any line end, lines of any length."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from preflight.core.errors import InputError

# A line longer than this is no row of a table and no line of a log: a binary file has no line ends.
MAX_LINE_CHARACTERS = 1 << 20
MAX_PROBLEMS = 10

_MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Problem:
    """Something in a file that was left out; ``line`` counts from 1, None is the whole file."""

    file: str
    text: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}: {self.text}" if self.line is None else f"{self.file}, line {self.line}: {self.text}"


@dataclass
class Problems:
    """Problems of one file: the first :data:`MAX_PROBLEMS` in full, the others counted."""

    file: str
    kept: list[Problem] = field(default_factory=list)
    count: int = 0

    def add(self, text: str, line: int | None = None) -> None:
        """One more."""
        self.count += 1
        if len(self.kept) < MAX_PROBLEMS:
            self.kept.append(Problem(self.file, text, line))

    def listed(self) -> list[Problem]:
        """All of them, the uncounted rest as one."""
        rest = self.count - len(self.kept)
        return [*self.kept, Problem(self.file, f"and {rest} more problems like these")] if rest else list(self.kept)


def numbered_lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Lines of a file with their numbers, without line ends; raises :class:`InputError` where it cannot be opened.

    Bytes that are no text are replaced, a line that is too long is left out.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        encoding = next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8-sig")
        with path.open(encoding=encoding, errors="replace", newline=None) as file:
            yield from _lines(file, problems)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _lines(file: TextIO, problems: Problems) -> Iterator[tuple[int, str]]:
    number = 0
    while line := file.readline(MAX_LINE_CHARACTERS):
        number += 1
        if len(line) < MAX_LINE_CHARACTERS or line.endswith("\n"):
            yield number, line.removesuffix("\n")
            continue
        problems.add(f"longer than {MAX_LINE_CHARACTERS} characters", number)
        while (rest := file.readline(MAX_LINE_CHARACTERS)) and not rest.endswith("\n"):
            pass
