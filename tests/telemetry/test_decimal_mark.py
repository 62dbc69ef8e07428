from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.telemetry.decimal_mark import COMMA, POINT, DecimalMarks, certain_mark, marks_by_column


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("0.5", POINT), ("1.2345", POINT), ("0.125", POINT), ("1.234e5", POINT), ("1,234.5", POINT),
        ("1,234,567", POINT), ("0,5", COMMA), ("-0,125", COMMA), ("1.234,5", COMMA), ("1.234.567", COMMA),
        (",5", COMMA), ("1,234", None), ("12.345", None), ("7", None), ("1,2,3", None), ("a,b", None), ("", None),
    ],
)  # fmt: skip
def test_what_a_mark_must_be(text: str, mark: str | None) -> None:
    assert certain_mark(text) == mark


@pytest.mark.parametrize(
    ("column", "plain", "is_guess"),
    [
        (["0,5", "1,234"], ["0.5", "1.234"], False),
        (["0,5", "1.234"], ["0.5", "1234"], False),
        (["1137.77", "1,234", "968"], ["1137.77", "1234", "968"], False),
        (["1.137,77", "968,2"], ["1137.77", "968.2"], False),
        (["1,234", "2,345"], ["1.234", "2.345"], True),
        (["1.234", "2.345"], ["1.234", "2.345"], False),
        (["0.5", "0,5", "1,234", "1.234"], ["0.5", "0.5", None, None], False),  # either
        (["nan", "tensor(1,5)", "50%"], ["nan", "tensor(1,5)", "50%"], False),
    ],
)
def test_marks_are_those_of_the_column(column: list[str], plain: list[str | None], is_guess: bool) -> None:
    marks = marks_by_column([[cell] for cell in column])[0]
    assert [marks.plain(cell) for cell in column] == plain
    assert marks.is_guess == is_guess


def test_a_column_that_does_not_tell_is_written_as_the_others() -> None:
    marks = marks_by_column([["1,234", "0.5"], ["2,345", "0.6"]])
    assert marks[0].plain("1,234") == "1234"
    assert not marks[0].is_guess


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_decimal_comma_is_read(value: float) -> None:
    written = repr(value).replace(".", ",")
    plain = DecimalMarks(frozenset({COMMA})).plain(written)
    assert plain is not None
    assert float(plain) == value


@given(st.lists(st.text(max_size=6), max_size=5))
def test_any_text_has_an_answer(cells: list[str]) -> None:
    for index, marks in marks_by_column([cells]).items():
        assert marks.plain(cells[index]) is not None
