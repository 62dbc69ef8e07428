"""Points and commas in the numbers of a table: which of them is the decimal mark."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

POINT: Final = "."
COMMA: Final = ","

_EXPONENT = r"(?:[eE][-+]?\d+)?"
_ONE_MARK = re.compile(rf"[-+]?(?:\d+[.,]\d*|[.,]\d+){_EXPONENT}")
# 1,234 is 1234 or 1.234; 1,234.5 and 1,234,567 are grouped, 0,123 and 1,2345 are not.
_EITHER = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")
_GROUPED_BY = {
    COMMA: re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?"),
    POINT: re.compile(r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?"),
}


@dataclass(frozen=True)
class DecimalMarks:
    """The decimal marks of a column's numbers: one, or both. Where nothing is certain, the comma is one.

    ``is_guess`` is whether it has commas that nothing tells from those between thousands.
    """

    certain: frozenset[str] = frozenset()
    is_guess: bool = False

    def plain(self, cell: str) -> str | None:
        """The cell with a decimal point and no groups; None where it may be either of two numbers."""
        text = cell.strip().strip("\"'")
        if COMMA not in text and not (POINT in text and COMMA in self.certain):
            return cell
        if _EITHER.fullmatch(text):
            if len(self.certain) > 1:
                return None
            mark = POINT if self.certain == {POINT} else COMMA
        elif (found := certain_mark(text)) is None:
            return cell
        else:
            mark = found
        return text.replace(_other(mark), "").replace(COMMA, POINT)


def marks_by_column(rows: Iterable[Sequence[str]]) -> dict[int, DecimalMarks]:
    """What the numbers of each column tell; of one that does not, those of the others."""
    certain: defaultdict[int, set[str]] = defaultdict(set)
    open_commas: set[int] = set()
    for row in rows:
        for index, cell in enumerate(row):
            text = cell.strip().strip("\"'")
            known = certain[index]
            if (mark := certain_mark(text)) is not None:
                known.add(mark)
            elif COMMA in text and _EITHER.fullmatch(text):
                open_commas.add(index)
    every = frozenset().union(*certain.values())
    return {
        index: DecimalMarks(frozenset(known) or every, not every and index in open_commas)
        for index, known in certain.items()
    }


def certain_mark(text: str) -> str | None:
    """The decimal mark of a number that can be read in one way only; None for another one and for no number."""
    if _EITHER.fullmatch(text):
        return None
    if _ONE_MARK.fullmatch(text):
        return COMMA if COMMA in text else POINT
    return next((_other(mark) for mark, grouped in _GROUPED_BY.items() if grouped.fullmatch(text)), None)


def _other(mark: str) -> str:
    return POINT if mark == COMMA else COMMA
