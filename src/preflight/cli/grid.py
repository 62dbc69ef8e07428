"""A table of texts: boxed on a terminal, aligned columns anywhere else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = "  "


@dataclass(frozen=True)
class Column:
    """A heading, and the side that its cells are aligned to: numbers to the right."""

    name: str
    right: bool = False


@dataclass(frozen=True)
class Grid:
    """Rows of as many cells as there are columns; the style of a cell shows on a terminal only."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Text]]


def number(value: float) -> str:
    """Three digits; what is not finite is named."""
    return f"{value:.3g}" if math.isfinite(value) else ("not finite" if math.isinf(value) else "-")


def show_grid(console: Console, grid: Grid) -> None:
    """Print the table as the console can show it."""
    if console.is_terminal:
        console.print(_boxed(grid))
        return
    for line in plain_lines(grid):
        console.print(line, markup=False, soft_wrap=True)


def plain_lines(grid: Grid) -> Iterator[str]:
    """Title, headings and rows, aligned by spaces; nothing is cut off or wrapped, and an empty cell is a dash."""
    table = [[column.name for column in grid.columns], *([str(cell) or "-" for cell in row] for row in grid.rows)]
    widths = [max(map(cell_len, cells)) for cells in zip(*table, strict=True)]
    yield grid.title
    for row in table:
        cells = (_padded(*item) for item in zip(row, widths, grid.columns, strict=True))
        yield (GAP + GAP.join(cells)).rstrip()


def _padded(text: str, width: int, column: Column) -> str:
    space = " " * (width - cell_len(text))
    return space + text if column.right else text + space


def _boxed(grid: Grid) -> Table:
    table = Table(title=Text(grid.title), title_justify="left")
    for column in grid.columns:
        table.add_column(Text(column.name), justify="right" if column.right else "left")
    for row in grid.rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table
