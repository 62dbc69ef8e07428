import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from preflight.core.edit import Value
from preflight.emit.read import same_value
from preflight.emit.scalar import format_key, format_value


@pytest.mark.parametrize(
    ("value", "old", "text"),
    [
        (3e-4, "", "3.0e-4"),
        (3e-4, "0.001", "3.0e-4"),
        (0.002, "0.001", "0.002"),
        (0.002, "1e-3", "2.0e-3"),
        (0.002, "1.0E-3", "2.0e-3"),
        (0.002, "", "0.002"),
        (0.5, "1", "0.5"),
        (1e7, "2.0", "1.0e+7"),
        (1e4, "2.0", "10000.0"),
        (12345678.5, "2.0", "1.23456785e+7"),
        (-1.5e-7, "", "-1.5e-7"),
        (1e16, "", "1.0e+16"),
        (5e-324, "", "5.0e-324"),
        (0.0, "1e-3", "0.0"),
        (-0.0, "", "-0.0"),
        (math.inf, "", ".inf"),
        (-math.inf, "", "-.inf"),
        (math.nan, "", ".nan"),
        (7, "1_000", "7"),
        (True, "", "true"),
        (False, "yes", "no"),
        (True, "Off", "On"),
        (False, "TRUE", "FALSE"),
        (True, "0", "true"),
        (None, "", "null"),
        (None, "~", "~"),
        ("adam", "", "adam"),
        ("adam", "'sgd'", "'adam'"),
        ("adam", '"sgd"', '"adam"'),
        ("adam", "|\n  sgd", "adam"),
        ("it's", "'x'", "'it''s'"),
        ("two\nlines", "'x'", '"two\\nlines"'),
        ("1e5", "", "'1e5'"),
        ("yes", "", "'yes'"),
        ("2020-01-01", "", "'2020-01-01'"),
        ("a: b", "", "'a: b'"),
        ("a #b", "", "'a #b'"),
        ("=", "", "'='"),
        ("", "", "''"),
        ("größe 😀", "'x'", "'größe 😀'"),
        ("größe 😀", '"x"', '"größe 😀"'),
        ("a, b", "", "a, b"),
        (["a, b", 1, 2.0, None], "", "['a, b', 1, 2.0, null]"),
        (
            {"kind": "standardize", "center": [4.88], "scale": [6.01]},
            "",
            "{kind: standardize, center: [4.88], scale: [6.01]}",
        ),
        ({}, "", "{}"),
        ([], "", "[]"),
    ],
)
def test_style(value: Value, old: str, text: str) -> None:
    assert format_value(value, old) == text


@pytest.mark.parametrize(
    ("key", "text"),
    [("lr", "lr"), ("lr.peak", "lr.peak"), ("1", "'1'"), ("on", "'on'"), ("<<", "'<<'"), ("", "''"),
     ("- x", "'- x'"), ("%x", "'%x'"), ("a\nb", '"a\\nb"')],
)  # fmt: skip
def test_keys_are_quoted_where_they_would_not_be_text(key: str, text: str) -> None:
    assert format_key(key) == text


# OmegaConf takes ${ for an interpolation in any quotes; `patch.apply` refuses to write it.
texts = st.text(max_size=20) | st.text(alphabet="ab01 .:,-+#'\"[]{}&*!|>%@`?~=<_eE\n\t", max_size=8)
words = texts.filter(lambda text: "${" not in text)
scalars = words | st.integers() | st.floats() | st.booleans() | st.none()
items = scalars | st.lists(scalars, max_size=4)
values = items | st.dictionaries(words, items, max_size=4)
olds = st.sampled_from(["", "0.1", "1e-3", "1", "yes", "ON", "~", "'x'", '"x"', "x", "|\n  x", "*x", "${x}"])


def loads(text: str) -> list[Any]:
    return [yaml.safe_load(text), OmegaConf.to_container(OmegaConf.create(text))]


@settings(deadline=None, max_examples=400)
@given(values, olds)
def test_both_loaders_give_the_value_back(value: Value, old: str) -> None:
    written = format_value(value, old)
    assert "\n" not in written
    for loaded in loads(f"v: {written}  # why\nw: 1\n"):
        assert same_value(loaded["v"], value)


@settings(deadline=None, max_examples=200)
@given(values, words)
def test_both_loaders_give_it_back_within_braces(value: Value, key: str) -> None:
    written = "{%s: %s, w: 1}" % (format_key(key, flow=True), format_value(value, flow=True))  # noqa: UP031
    for loaded in loads(f"v: {written}\n"):
        expected: Value = 1 if key == "w" else value
        assert key == "w" or same_value(loaded["v"][key], expected)


@settings(deadline=None)
@given(words)
def test_both_loaders_give_a_key_back(key: str) -> None:
    for loaded in loads(f"{format_key(key)}: 1\n"):
        assert loaded == {key: 1}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_digit_of_a_float_is_lost(value: float) -> None:
    assert float(format_value(value)) == value
