"""Which known name a misspelt one was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Share of characters that two names have in common, by difflib: for names that are worded, not typed, differently.
ALIKE = 0.6
# A slip of the pen is one edit for so many letters; `angle` and `ankle` may be two fields, `lr` and `wd` are.
LETTERS_PER_SLIP = 4


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that ``name`` is a misspelling of, if there is one: few edits away, or much the same letters."""
    names = sorted(known)
    if not name or not names:
        return None
    best = min(names, key=lambda other: edits_between(name.lower(), other.lower()))
    if edits_between(name.lower(), best.lower()) <= min(max(1, len(name) // 3), len(name) - 1):
        return best
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=ALIKE)), None)


def is_slip(name: str, other: str) -> bool:
    """Whether two names are so near that one of them is likely a slip of the pen, and not a name of its own."""
    return 0 < edits_between(name, other) <= max(len(name), len(other)) // LETTERS_PER_SLIP


def edits_between(one: str, other: str) -> int:
    """Least number of letters inserted, left out, replaced or swapped with their neighbour, to get from one to other.

    Optimal string alignment, a Damerau-Levenshtein distance in which no letter is edited twice.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, above, row = row, before, [i]
        for j, target in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != target))
            is_swap = i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == target
            row.append(min(cost, above[j - 2] + 1) if is_swap else cost)
    return row[-1]
