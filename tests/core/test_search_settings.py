from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from preflight.core.catalog import packaged_conf, sweeps_in
from preflight.core.search_settings import (
    NORMALIZATIONS,
    PLAIN,
    Axis,
    parse_space,
)

Refusal = Callable[..., str]
LOSSES = ("video", "audio")


@pytest.mark.parametrize(
    ("value", "expected"), [("auto", None), (None, None), ("keep", ()), (["gradnorm", "gradnorm"], ("gradnorm",))]
)
def test_ways_to_balance_losses(value: Any, expected: Any) -> None:
    assert parse_space({"balancing": value}, {}, LOSSES).balancing == expected


@pytest.mark.parametrize("value", [["gradnrom"], "gradnorm", 3, [3]])
def test_a_wrong_way_to_balance_losses_is_refused_with_the_others(refused: Callable[..., str], value: Any) -> None:
    text = refused({"balancing": value})
    assert "space.balancing" in text
    assert "gradnorm" in text and "uncertainty" in text


@pytest.fixture
def refused(refusal: Refusal) -> Callable[..., str]:
    """Why a space is refused."""

    def call(values: dict[str, Any], extra: dict[str, Any] | None = None) -> str:
        return refusal(parse_space, values, extra or {}, LOSSES)

    return call


def test_a_space_of_nothing_keeps_everything() -> None:
    space = parse_space({}, {}, LOSSES)
    assert (space.lr, space.plain, space.normalization, space.loss_weights) == (None, {}, {}, {})


def test_keep_and_null_are_no_axis() -> None:
    values: dict[str, Any] = dict.fromkeys(("lr", *PLAIN), "keep") | {"extras": {"dropout": "keep", "width": None}}
    space = parse_space(values, {}, LOSSES)
    assert (space.lr, space.plain) == (None, {})


def test_auto_leaves_the_choice_to_preflight() -> None:
    space = parse_space({"normalization": "auto", "loss_weights": "auto"}, {}, LOSSES)
    assert (space.normalization, space.loss_weights) == (None, None)


@pytest.mark.parametrize("bound", ["auto", None])
def test_bounds_of_the_learning_rate_may_be_left_to_the_range_stage(bound: str | None) -> None:
    assert parse_space({"lr": {"low": bound, "high": 0.1}}, {}, LOSSES).lr == Axis(low=None, high=0.1, log=True)
    assert parse_space({"lr": {"low": 1e-4, "high": bound}}, {}, LOSSES).lr == Axis(low=1e-4, high=None, log=True)


def test_scales_are_what_the_setting_asks_for_unless_told_otherwise() -> None:
    values = {
        "lr": {"low": 1e-4, "high": 1e-1},
        "weight_decay": {"low": 0.0, "high": 0.1},
        "loss_weights": {"video": {"low": 0.1, "high": 10}},
        "extras": {"dropout": {"low": 0.0, "high": 0.3}, "width": {"low": 8, "high": 64, "log": True, "integer": True}},
    }
    space = parse_space(values, {}, LOSSES)
    assert space.lr == Axis(low=1e-4, high=1e-1, log=True)
    assert space.loss_weights == {"video": Axis(low=0.1, high=10.0, log=True)}
    assert space.plain == {
        "weight_decay": Axis(low=0.0, high=0.1),
        "dropout": Axis(low=0.0, high=0.3),
        "width": Axis(low=8.0, high=64.0, log=True, integer=True),
    }


def test_a_list_is_short_for_choices_and_keeps_its_order_without_doubles() -> None:
    values = {"batch_size": [64, 16, 64], "clip_norm": {"choices": [None, 1.0]}, "shuffle": [True, False]}
    plain = parse_space(values, {}, LOSSES).plain
    assert plain == {
        "batch_size": Axis(choices=(64, 16)),
        "clip_norm": Axis(choices=(None, 1.0)),
        "shuffle": Axis(choices=(True, False)),
    }


def test_a_batch_size_is_a_whole_number_also_where_yaml_reads_a_float() -> None:
    (choice,) = parse_space({"batch_size": [16.0]}, {}, LOSSES).plain["batch_size"].choices
    assert isinstance(choice, int)


def test_weight_decay_may_be_the_optimizers_own() -> None:
    assert parse_space({"weight_decay": [None, 0.1]}, {}, LOSSES).plain["weight_decay"].choices == (None, 0.1)


def test_the_models_own_space_wins_and_extras_are_joined() -> None:
    values = {"batch_size": [16], "extras": {"dropout": [0.1], "width": [8]}}
    extra = {"batch_size": "keep", "extras": {"width": [64]}}
    plain = parse_space(values, extra, LOSSES).plain
    assert plain == {"dropout": Axis(choices=(0.1,)), "width": Axis(choices=(64,))}


@pytest.mark.parametrize("extras", ["dropout", ["dropout"], 5])
@pytest.mark.parametrize("of_model", [False, True])
def test_extras_are_a_mapping(extras: object, of_model: bool, refused: Callable[..., str]) -> None:
    text = refused({}, {"extras": extras}) if of_model else refused({"extras": extras})
    assert text == f"{'model.' if of_model else ''}space.extras must be a mapping of keys, got {extras!r}"


def test_an_extra_cannot_stand_for_a_setting(refused: Callable[..., str]) -> None:
    text = refused({"extras": {"lr": [0.1]}})
    assert text == "space.extras.lr is no parameter of a model factory; write space.lr"


def test_an_unknown_axis_is_named_with_the_known_ones(refused: Callable[..., str]) -> None:
    text = refused({"learning_rate": [0.1]})
    assert text.startswith("unknown key 'space.learning_rate'; ")
    assert all(name in text for name in ("lr", *PLAIN, "normalization", "loss_weights", "extras"))
    assert "unknown key 'model.space.dropuot'" in refused({}, {"dropuot": [0.1]})


@pytest.mark.parametrize("value", [5, "free", 0.1, True])
def test_an_axis_says_what_it_may_be(value: object, refused: Callable[..., str]) -> None:
    text = refused({"batch_size": value})
    assert text == f"space.batch_size must be keep, auto, a list of values, or {{low: ..., high: ...}}, got {value!r}"


def test_what_is_left_to_remedies_is_no_axis() -> None:
    found = parse_space({"weight_decay": "auto", "clip_norm": "keep", "batch_size": [8]}, {}, ())
    assert (found.mended, list(found.plain)) == (("weight_decay",), ["batch_size"])


@pytest.mark.parametrize("value", [{"lo": 1}, {"low": 1, "high": 2, "step": 1}])
def test_an_unknown_key_of_an_axis_is_named_with_its_full_path(value: object, refused: Callable[..., str]) -> None:
    text = refused({"extras": {"width": value}})
    assert "unknown key 'space.extras.width." in text
    assert "known: choices, high, integer, log, low" in text


@pytest.mark.parametrize(("given", "missing"), [({"low": 1}, "high"), ({"high": 1}, "low"), ({}, "low")])
def test_a_range_has_two_ends(given: object, missing: str, refused: Callable[..., str]) -> None:
    assert refused({"extras": {"width": given}}).startswith(f"space.extras.width.{missing} is missing; an axis is")


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_low_lies_below_high(one: float, other: float) -> None:
    low, high = sorted((one, other))
    if low < high:
        assert parse_space({"lr": {"low": low, "high": high}}, {}, LOSSES).lr == Axis(low=low, high=high, log=True)
    with pytest.raises(Exception, match="must be below") as caught:
        parse_space({"lr": {"low": high, "high": low}}, {}, LOSSES)
    assert str(caught.value) == f"space.lr.low must be below space.lr.high, got low={high:g} and high={low:g}"


@pytest.mark.parametrize("low", [0, 0.0, -1e-3])
@pytest.mark.parametrize(
    ("values", "path"),
    [
        (lambda low: {"lr": {"low": low, "high": 1}}, "space.lr"),
        (lambda low: {"loss_weights": {"video": {"low": low, "high": 1}}}, "space.loss_weights.video"),
        (lambda low: {"weight_decay": {"low": low, "high": 1, "log": True}}, "space.weight_decay"),
    ],
)
def test_a_log_scale_starts_above_zero(
    low: float, values: Callable[[float], dict[str, Any]], path: str, refused: Callable[..., str]
) -> None:
    assert refused(values(low)) == f"{path}.low must be positive on a log scale, got low={low:g}"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"lr": {"low": "abc"}}, "space.lr.low must be a finite number, got 'abc'"),
        ({"lr": {"low": float("nan")}}, "space.lr.low must be a finite number, got nan"),
        ({"lr": {"log": "yes"}}, "space.lr.log must be true or false, got 'yes'"),
        ({"lr": [0.1, None]}, "space.lr must be a finite number, got None"),
        ({"lr": [0.1, 0]}, "space.lr must be positive, got lr=0"),
        (
            {"lr": ["0.1"]},
            "space.lr must be a finite number, got '0.1', which is text: write it without quotes, as 0.1",
        ),
        ({"lr": []}, "space.lr.choices must be a list of values, got []"),
        ({"lr": {"choices": 0.1}}, "space.lr.choices must be a list of values, got 0.1"),
        ({"batch_size": [16.5]}, "space.batch_size must be a whole number of at least 1, got 16.5"),
        ({"batch_size": [None, 16]}, "space.batch_size must be a whole number of at least 1, got None"),
        ({"batch_size": [[16]]}, "space.batch_size must be a whole number of at least 1, got [16]"),
        ({"batch_size": {"low": 0, "high": 8}}, "space.batch_size must be a whole number of at least 1, got 0.0"),
        (
            {"scheduler_interval": ["batch"]},
            "space.scheduler_interval=batch is no unit to advance in; known: epoch, step",
        ),
        *(
            (given, "space.num_workers is no axis: no score depends on it; it is measured where training waits")
            for given in ({"num_workers": [0, 4]}, {"extras": {"num_workers": "keep"}})
        ),
        ({"shuffle": [1]}, "space.shuffle must be true or false, got 1"),
        ({"shuffle": {"low": 0, "high": 1}}, "space.shuffle must be true or false, got 0.0"),
        ({"clip_norm": [0.0]}, "space.clip_norm must be positive, got clip_norm=0.0"),
        ({"weight_decay": [-0.1]}, "space.weight_decay must not be negative, got weight_decay=-0.1"),
        ({"warmup_fraction": [-0.1]}, "space.warmup_fraction must not be negative, got warmup_fraction=-0.1"),
        (
            {"warmup_fraction": [1.5]},
            "space.warmup_fraction is a share of the run and at most 1, got warmup_fraction=1.5",
        ),
        ({"warmup_fraction": [None]}, "space.warmup_fraction must be a finite number, got None"),
        ({"loss_weights": {"video": [-1]}}, "space.loss_weights.video must not be negative, got -1"),
        (
            {"loss_weights": {"vidoe": [1]}},
            "space.loss_weights names 'vidoe'; did you mean 'video'? known: audio, video",
        ),
        (
            {"loss_weights": [1]},
            "space.loss_weights must be auto, keep, or a mapping of names to values, got [1]",
        ),
        (
            {"normalization": "standardize"},
            "space.normalization must be auto, keep, or a mapping of names to values, got 'standardize'",
        ),
        ({"extras": {"act": [["relu"]]}}, "space.extras.act takes text, numbers, true or false, got ['relu']"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_its_bound(
    values: dict[str, Any], text: str, refused: Callable[..., str]
) -> None:
    assert refused(values) == text


def test_a_normalization_that_is_none_lists_them(refused: Callable[..., str]) -> None:
    text = refused({"normalization": {"input": ["standardise"]}})
    assert text.startswith("space.normalization.input=standardise is not a normalization; did you mean 'standardize'?")
    assert all(name in text for name in NORMALIZATIONS)


def test_a_field_may_have_the_name_of_a_setting() -> None:
    space = parse_space({"normalization": {"lr": ["standardize"]}, "loss_weights": "keep"}, {}, LOSSES)
    assert space.normalization == {"lr": Axis(choices=("standardize",))}


@pytest.mark.parametrize("name", sweeps_in("space"))
def test_every_packaged_space_is_one(name: str) -> None:
    text = (packaged_conf().parent / "sweeps" / "space" / f"{name}.yaml").read_text(encoding="utf-8")
    space = parse_space(yaml.safe_load(text), {}, LOSSES)
    assert space.lr == Axis(log=True)
