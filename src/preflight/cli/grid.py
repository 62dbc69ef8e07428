"""A table of texts: boxed on a terminal that is wide enough, a list on a narrow one, aligned columns elsewhere."""

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
    """Print the table as the console can show it; no word or number is ever cut."""
    if not console.is_terminal:
        for line in plain_lines(grid):
            console.print(line, markup=False, soft_wrap=True)
        return
    widths = fitted(grid, console.width)
    if widths is not None:
        console.print(_boxed(grid, widths))
        return
    for item in _listed(grid):
        console.print(item, soft_wrap=True)


def fitted(grid: Grid, room: int) -> list[int] | None:
    """Width of every column in a box of ``room`` characters; None where the longest words do not fit side by side.

    What is left beyond those goes, character by character, to the column that lacks most.
    """
    columns = list(zip([column.name for column in grid.columns], *(map(str, row) for row in grid.rows), strict=True))
    widths = [max(cell_len(word) for cell in cells for word in [*cell.split(), ""]) for cells in columns]
    whole = [max(map(cell_len, cells)) for cells in columns]
    spare = room - len(columns) * len("│  ") - len("│") - sum(widths)
    if spare < 0:
        return None
    for _ in range(min(spare, sum(whole) - sum(widths))):
        lacking = [full - width for full, width in zip(whole, widths, strict=True)]
        widths[lacking.index(max(lacking))] += 1
    return widths


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


def _listed(grid: Grid) -> Iterator[Text]:
    yield Text(grid.title, style="italic")
    for row in grid.rows:
        for index, (column, cell) in enumerate(zip(grid.columns, row, strict=True)):
            text = cell if isinstance(cell, Text) else Text(cell)
            yield Text.assemble(GAP * (2 if index else 1), f"{column.name}: ", text if text.plain else "-")


def _boxed(grid: Grid, widths: Sequence[int]) -> Table:
    table = Table(title=Text(grid.title), title_justify="left")
    for column, width in zip(grid.columns, widths, strict=True):
        table.add_column(Text(column.name), justify="right" if column.right else "left", width=width)
    for row in grid.rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table
