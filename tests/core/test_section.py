from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from preflight.core.errors import ConfigError
from preflight.core.section import Section, check_integer, check_number

Refusal = Callable[..., str]


def test_an_unknown_key_is_refused_with_its_full_name_and_the_nearest_known_one(refusal: Refusal) -> None:
    text = refusal(Section, {"lrr": 1}, "space", ("lr", "shuffle"))
    assert text == "unknown key 'space.lrr'; did you mean 'lr'? known: lr, shuffle"


def test_a_key_that_is_no_text_is_refused_too(refusal: Refusal) -> None:
    assert "unknown key '7'" in refusal(Section, {7: 1}, "", ("lr",))


def test_a_section_without_keys_of_its_own_says_so(refusal: Refusal) -> None:
    assert refusal(Section, {"x": 1}, "here", ()) == "unknown key 'here.x'; known: (none)"


@pytest.mark.parametrize("values", [None, 5, "text", ["a", "list"]])
def test_only_a_mapping_is_a_section(values: object, refusal: Refusal) -> None:
    assert refusal(Section, values, "model", ("a",)) == f"model must be a mapping of keys, got {values!r}"
    assert refusal(Section, values, "", ("a",)).startswith("the configuration must be a mapping")


def test_names_are_dotted_from_the_root() -> None:
    assert Section({}, "model.metric", ()).name("goal") == "model.metric.goal"
    assert Section({}, "", ()).name("seed") == "seed"


def test_null_is_as_good_as_absent_and_zero_is_not() -> None:
    section = Section({"a": None, "b": 0, "c": False}, "", "abcd")
    assert [section.get(name, "default") for name in "abcd"] == ["default", 0, False, "default"]


@pytest.mark.parametrize("values", [{}, {"factory": None}, {"factory": "???"}])
def test_a_required_key_that_is_missing_is_named_with_an_example(values: dict[str, object], refusal: Refusal) -> None:
    section = Section(values, "model", ("factory",))
    assert refusal(section.required, "factory", "my.build") == (
        "'model.factory' is missing; it looks like: factory: my.build"
    )


def test_a_required_key_may_be_zero_or_empty() -> None:
    section = Section({"a": 0, "b": ""}, "", "ab")
    assert (section.required("a", "1"), section.required("b", "x")) == (0, "")


@pytest.mark.parametrize("value", [1, "yes", "true", 0.0, []])
def test_a_boolean_is_true_or_false_and_nothing_like_it(value: object, refusal: Refusal) -> None:
    section = Section({"overwrite": value}, "", ("overwrite",))
    assert refusal(section.boolean, "overwrite", False) == f"overwrite must be true or false, got {value!r}"


def test_a_boolean_false_does_not_fall_back_to_its_default() -> None:
    assert Section({"shuffle": False}, "", ("shuffle",)).boolean("shuffle", True) is False
    assert Section({}, "", ("shuffle",)).boolean("shuffle", True) is True


@pytest.mark.parametrize("value", [5, True, ["a"], {"a": "b"}])
def test_text_is_not_made_out_of_anything_else(value: object, refusal: Refusal) -> None:
    section = Section({"head": value}, "model", ("head",))
    assert refusal(section.text, "head") == f"model.head must be text, got {value!r}"


def test_a_choice_that_is_not_one_lists_them(refusal: Refusal) -> None:
    section = Section({"schedule": "cosin"}, "model", ("schedule",))
    assert refusal(section.choice, "schedule", "constant", ("constant", "cosine")) == (
        "model.schedule=cosin is not one of them; did you mean 'cosine'? known: constant, cosine"
    )


@pytest.mark.parametrize("value", [5, "text", ["a"]])
def test_a_mapping_is_not_made_out_of_anything_else(value: object, refusal: Refusal) -> None:
    section = Section({"fields": value}, "model", ("fields",))
    assert refusal(section.mapping, "fields") == f"model.fields must be a mapping of keys, got {value!r}"


def test_keys_of_a_mapping_become_text() -> None:
    assert Section({"a": {2: "x"}}, "", "a").mapping("a") == {"2": "x"}
    assert Section({}, "", "a").mapping("a") == {}


def test_one_name_is_a_list_of_one() -> None:
    section = Section({"one": "x", "list": ["a", "b"], "tuple": ("c",)}, "", ("one", "list", "tuple", "none"))
    assert [section.names(key) for key in ("one", "list", "tuple", "none")] == [("x",), ("a", "b"), ("c",), ()]


@pytest.mark.parametrize("value", [5, {"a": "b"}, ["a", 1], [["a"]]])
def test_names_are_texts(value: object, refusal: Refusal) -> None:
    section = Section({"inputs": value}, "model", ("inputs",))
    assert refusal(section.names, "inputs") == f"model.inputs must be a list of names, got {value!r}"


@pytest.mark.parametrize("value", [True, "three", None, 1.5, math.nan, math.inf, -math.inf, [3], 0])
def test_an_integer_names_itself_its_bound_and_the_value(value: object, refusal: Refusal) -> None:
    assert refusal(check_integer, value, "budget.trials") == (
        f"budget.trials must be a whole number of at least 1, got {value!r}"
    )


@given(st.integers(1, 10**15))
def test_whole_numbers_are_taken_as_they_are_also_as_floats(value: int) -> None:
    assert check_integer(value, "n") == value
    taken = check_integer(float(value), "n")
    assert taken == value
    assert isinstance(taken, int)


def test_the_bound_itself_is_allowed(refusal: Refusal) -> None:
    assert check_integer(0, "seed", low=0) == 0
    assert "at least 0, got -1" in refusal(check_integer, -1, "seed", low=0)


@pytest.mark.parametrize("value", [True, "nan", "a lot", None, math.nan, math.inf, -math.inf, [0.1]])
def test_a_number_is_finite_and_a_number(value: object, refusal: Refusal) -> None:
    assert refusal(check_number, value, "space.lr.low") == f"space.lr.low must be a finite number, got {value!r}"


@pytest.mark.parametrize("check", [check_integer, check_number])
def test_a_whole_number_beyond_every_float_is_refused_and_not_overflowed(
    check: Callable[..., float], refusal: Refusal
) -> None:
    assert "lr must be a" in refusal(check, 10**400, "lr")


@pytest.mark.parametrize("value", [0, 0.0, -0.0, -1, -1e-300])
def test_a_positive_number_is_above_zero(value: float, refusal: Refusal) -> None:
    assert refusal(check_number, value, "model.lr", positive=True) == f"model.lr must be positive, got lr={value}"


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**300), 10**300))
def test_every_finite_number_is_taken_as_a_float(value: float) -> None:
    assert check_number(value, "x") == float(value)
    if value > 0:
        assert check_number(value, "x", positive=True) == float(value)
    else:
        with pytest.raises(ConfigError, match="positive"):
            check_number(value, "x", positive=True)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("3e-1", "0.3"),
        ("1e-5", "1.0e-05"),
        ("3.5e-5", "3.5e-05"),
        ("32", "32"),
        (" 0.10 ", "0.1"),
        ("1e20", "1.0e+20"),
        ("-0.0", "0"),
    ],
)
@pytest.mark.parametrize("check", [check_integer, check_number])
def test_a_number_in_quotes_says_how_to_write_it(
    check: Callable[..., float], text: str, written: str, refusal: Refusal
) -> None:
    told = refusal(check, text, "optimizer.lr in train.yaml")
    assert told.startswith("optimizer.lr in train.yaml must be a ")
    assert told.endswith(f"got {text!r}, which is text: write it without quotes, as {written}")
    assert yaml.safe_load(written) == float(text)


def test_a_number_above_its_bound_names_the_bound(refusal: Refusal) -> None:
    assert check_integer(7, "n", high=7) == 7
    assert refusal(check_integer, 8, "n", high=7) == "n must be a whole number of at most 7, got 8"
