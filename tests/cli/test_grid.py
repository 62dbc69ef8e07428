from __future__ import annotations

import io
import math

import pytest
from rich.console import Console
from rich.text import Text

from preflight.cli.grid import Column, Grid, number, plain_lines, show_grid

LONG = "backbone.layers." + ".".join(str(index) for index in range(80))
GRID = Grid(
    "rates [of] today",
    (Column("LR", right=True), Column("exploded at"), Column("verdict")),
    (("1e-05", "", Text("stable", style="green")), ("0.03 (today)", LONG, "[red]explodes")),
)


def test_columns_are_aligned_by_spaces_and_nothing_is_cut_off() -> None:
    title, head, first, second = plain_lines(GRID)
    assert title == "rates [of] today"
    assert second == f"  0.03 (today)  {LONG}  [red]explodes"
    assert head.index("exploded at") == first.index("-", first.index("1e-05") + 5) == second.index(LONG)
    assert first.index("1e-05") + len("1e-05") == second.index("(today)") + len("(today)")
    assert head.index("verdict") == first.index("stable") == second.index("[red]")


def test_wide_characters_keep_the_columns_straight() -> None:
    grid = Grid("t", (Column("name"), Column("x")), (("速度", "1"), ("lr", "2")))
    assert list(plain_lines(grid)) == ["t", "  name  x", "  速度  1", "  lr    2"]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_boxes_and_colours_are_for_terminals(is_terminal: bool) -> None:
    stream = io.StringIO()
    colors = "standard" if is_terminal else None
    show_grid(Console(file=stream, force_terminal=is_terminal, width=300, color_system=colors, highlight=False), GRID)
    text = stream.getvalue()
    assert [mark in text for mark in ("│", "\x1b[32m")] == [is_terminal, is_terminal]
    assert "[red]explodes" in text
    assert text.isascii() == (not is_terminal)


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.123"), (12345.6, "1.23e+04"), (math.inf, "not finite"), (math.nan, "-")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
