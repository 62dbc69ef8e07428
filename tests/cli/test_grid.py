from __future__ import annotations

import io
import math

import pytest
from rich.console import Console
from rich.text import Text

from preflight.cli.grid import Column, Grid, fitted, number, plain_lines, show_grid

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


CHANGES = Grid(
    "changes, each with what it takes off the validation score",
    tuple(Column(name) for name in ("setting", "today", "recommended", "alone", "added to the others")),
    (
        ("lr", "0.0003125", "0.012", "99.94% (99.9% to 99.97%)", "49% (-12% to 60%)"),
        ("normalization.input", "none", "standardize", Text("97% (95% to 98%)", style="green"), ""),
    ),
)


def on_terminal(grid: Grid, width: int) -> str:
    stream = io.StringIO()
    show_grid(Console(file=stream, force_terminal=True, width=width, color_system=None, highlight=False), grid)
    return stream.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 78, 79, 80, 81, 90, 100, 120, 200])
def test_no_word_or_number_is_cut_on_a_narrow_terminal(width: int) -> None:
    text = on_terminal(CHANGES, width)
    assert "…" not in text
    words = {word for row in CHANGES.rows for cell in row for word in str(cell).split()}
    assert words <= set(text.split())
    if "│" in text:
        assert max(map(len, text.splitlines())) <= width


def test_where_the_columns_do_not_fit_the_rows_are_listed() -> None:
    assert on_terminal(CHANGES, 40).splitlines() == [
        "changes, each with what it takes off the validation score",
        "  setting: lr",
        "    today: 0.0003125",
        "    recommended: 0.012",
        "    alone: 99.94% (99.9% to 99.97%)",
        "    added to the others: 49% (-12% to 60%)",
        "  setting: normalization.input",
        "    today: none",
        "    recommended: standardize",
        "    alone: 97% (95% to 98%)",
        "    added to the others: -",
    ]


def test_the_room_goes_to_what_would_wrap() -> None:
    assert fitted(CHANGES, 300) == [19, 9, 11, 24, 19]
    assert fitted(CHANGES, 40) is None
    widths = fitted(CHANGES, 90)
    assert widths is not None
    assert sum(widths) == 90 - 3 * 5 - 1
    assert fitted(Grid("t", (Column("a"),), ()), 80) == [1]
