"""Files and columns of the interchange format that a directory does not have, and what they would show."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pandas as pd

from preflight.telemetry.schema import GRADIENT_NORMS, HEAD_GEOMETRY, HEAD_STATS, LEARNING_RATES, WEIGHT_DELTAS, Table
from preflight.telemetry.text_lines import Problem

# Table -> what is read off it.
SHOWS = (
    (GRADIENT_NORMS, "gradients that explode, vanish or are zero"),
    (WEIGHT_DELTAS, "components that do not move, move unevenly or swing"),
    (LEARNING_RATES, "rates of 0, and whether rates explain uneven moves,"),
    (HEAD_STATS, "the level of the prototypes' weights"),
    (HEAD_GEOMETRY, "whether prototypes point the same way"),
)
OWN = ("epoch", "step")


def absent(tables: Mapping[str, pd.DataFrame], unread: Collection[str] = ()) -> Iterator[Problem]:
    """Tables that are not there, and columns that a table lacks; those ``unread`` are there."""
    for table, shows in SHOWS:
        found = [frame for name, frame in tables.items() if _is(f"{name}.csv", table)]
        if not found and not any(_is(f"{name}.csv", table) for name in unread):
            yield Problem(table.file, f"not there; {shows} cannot be told")
        for name in _columns(table, found[0].columns) if found else ():
            yield Problem(table.file, f"no column '{name}'")


def _is(file: str, table: Table) -> bool:
    return file.endswith(table.file.rpartition(">")[2])


def _columns(table: Table, names: Collection[str]) -> Iterator[str]:
    """Columns of the format that are not among ``names``; of those that stand for several, one is enough."""
    exact = {column.name for column in table.columns if "<" not in column.name}
    for column in table.columns:
        head, is_many, tail = column.name.replace(">", "<").partition("<")
        ending = tail.rpartition("<")[2]
        others = [name for name in names if name not in exact and name not in OWN]
        if not is_many and column.name not in (*names, "epoch"):
            yield column.name
        if is_many and not any(name.startswith(head) and name.endswith(ending) for name in others):
            yield column.name
