from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.telemetry.numbers import parse_number


@given(st.floats())
def test_what_python_prints_is_read(value: float) -> None:
    np.testing.assert_equal(parse_number(repr(value)), value)
    np.testing.assert_equal(parse_number(f" '{value}' "), value)


@pytest.mark.parametrize("text", ["abc", "1,5", "1.2.3", "--1", "tensor([1, 2])", "2026-01-01", "10:00", "1.234,5"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert parse_number(text) is None


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert parse_number(text) is None or isinstance(parse_number(text), float)


@pytest.mark.parametrize("text", ["", " ", "nan", "N/A", "None", "tensor(nan, device='cuda:0')", "np.float32(nan)"])
def test_what_was_not_recorded_is_nan(text: str) -> None:
    value = parse_number(text)
    assert value is not None
    assert math.isnan(value)
