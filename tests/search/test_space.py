from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from preflight.core.errors import ConfigError
from preflight.core.params import Params
from preflight.core.search_settings import parse_space
from preflight.search.space import distributions

OPTIONS = {
    "normalization.input": ("none", "standardize", "log_standardize"),
    "normalization.flags": ("none",),
    "target_normalization.y": ("none", "standardize"),
    "target_normalization.z": ("none",),
}
BOUNDS = (1e-4, 1e-1)
FACTORY = ("width", "dropout")


def space_of(
    today: Params,
    options: dict[str, tuple[str, ...]] | None = None,
    factory: Any = FACTORY,
    scored: tuple[str, ...] | None = None,
    **axes: Any,
) -> dict[str, BaseDistribution]:
    settings = parse_space(axes, {}, tuple(today.loss_weights))
    losses = tuple(today.loss_weights) if scored is None else scored
    return distributions(settings, today, BOUNDS, OPTIONS if options is None else options, factory, losses)


def contains(distribution: BaseDistribution, value: Any) -> bool:
    return distribution._contains(distribution.to_internal_repr(value))


def test_what_is_kept_is_no_axis(today: Params) -> None:
    assert space_of(today) == {}
    assert space_of(today, lr="keep", batch_size="keep", normalization="keep", loss_weights="keep") == {}


def test_the_range_stage_bounds_the_learning_rate(today: Params) -> None:
    inside = today.with_values({"lr": 0.01})
    assert space_of(inside, lr={"low": "auto", "high": "auto"}) == {"lr": FloatDistribution(1e-4, 1e-1, log=True)}
    assert space_of(inside, lr={"low": 1e-3, "high": "auto"}) == {"lr": FloatDistribution(1e-3, 1e-1, log=True)}
    assert space_of(inside, lr={"low": 1e-3, "high": 0.02}) == {"lr": FloatDistribution(1e-3, 0.02, log=True)}
    assert space_of(inside, lr=[0.01, 0.1]) == {"lr": CategoricalDistribution((0.01, 0.1))}


@pytest.mark.parametrize(("lr", "low", "high"), [(0.5, 1e-4, 0.5), (1e-6, 1e-6, 1e-1)])
def test_a_range_is_widened_to_todays_learning_rate(lr: float, low: float, high: float, today: Params) -> None:
    found = space_of(today.with_values({"lr": lr}), lr={"low": "auto", "high": "auto"})
    assert found == {"lr": FloatDistribution(low, high, log=True)}


@pytest.mark.parametrize(
    ("bounds", "low", "high"),
    [
        ({"low": 0.5, "high": "auto"}, 0.5, 500.0),
        ({"low": "auto", "high": 1e-9}, 1e-12, 1e-9),
        ({"low": "auto", "high": 1e-3}, 1e-4, 1e-3),
        ({"low": 1e-3, "high": 1e-2}, 1e-3, 1e-2),
    ],
)
def test_a_bound_that_the_user_gave_is_kept(bounds: dict[str, object], low: float, high: float, today: Params) -> None:
    found = space_of(today.with_values({"lr": 0.2}), lr=bounds)["lr"]
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_choices_are_joined_by_todays_value(today: Params) -> None:
    assert space_of(today, batch_size=[16, 32]) == {"batch_size": CategoricalDistribution((8, 16, 32))}
    assert space_of(today, batch_size=[16, 8]) == {"batch_size": CategoricalDistribution((16, 8))}
    assert space_of(today, shuffle=[False]) == {"shuffle": CategoricalDistribution((True, False))}
    assert space_of(today, clip_norm=[1.0]) == {"clip_norm": CategoricalDistribution((None, 1.0))}
    assert space_of(today, extras={"dropout": [0.0, 0.5]}) == {"dropout": CategoricalDistribution((0.1, 0.0, 0.5))}


def test_an_extra_that_today_does_not_set_may_stay_unset(today: Params) -> None:
    assert space_of(today, extras={"width": [16, 32]}) == {"width": CategoricalDistribution((None, 16, 32))}


def test_whole_numbers_stay_whole(today: Params) -> None:
    found = space_of(
        today,
        batch_size={"low": 4, "high": 64, "log": True},
        extras={"width": {"low": 8, "high": 128, "integer": True}},
    )
    assert found == {"batch_size": IntDistribution(4, 64, log=True), "width": IntDistribution(8, 128)}


lrs = st.floats(1e-7, 10.0)
sizes = st.integers(1, 512)
shares = st.floats(0.0, 1.0)


@given(lr=lrs, batch_size=sizes, warmup=shares, decay=shares, dropout=shares, weight=st.floats(1e-6, 1e6))
def test_todays_settings_are_always_inside(
    lr: float, batch_size: int, warmup: float, decay: float, dropout: float, weight: float
) -> None:
    today = Params(
        lr=lr,
        batch_size=batch_size,
        warmup_fraction=warmup,
        weight_decay=decay,
        loss_weights={"a": 1.0, "b": weight},
        normalization={"input": "today"},
        extras={"dropout": dropout},
    )
    ranges = {
        "lr": {"low": "auto", "high": "auto"},
        "warmup_fraction": {"low": 0.1, "high": 0.2},
        "batch_size": {"low": 16, "high": 64, "log": True},
        "weight_decay": {"low": 0.01, "high": 0.1},
        "extras": {"dropout": {"low": 0.2, "high": 0.3}},
    }
    lists = {
        "lr": [1e-3],
        "warmup_fraction": [0.05],
        "batch_size": [32],
        "weight_decay": [0.02],
        "extras": {"dropout": [0.25]},
    }
    options = {"normalization.input": ("today", "none", "standardize")}
    for axes in (ranges, lists):
        found = space_of(today, options, **axes, normalization="auto", loss_weights="auto")
        assert len(found) == 7
        flat = today.flat()
        preflights_own = {"lr", "normalization.input", "loss_weights.b"}  # a range that the user gave is the user's
        inside = set(found) if axes is lists else preflights_own
        assert all(contains(found[name], flat[name]) for name in inside)


def test_normalizations_are_those_that_make_sense_where_there_is_a_choice(today: Params) -> None:
    found = space_of(today, normalization="auto")
    assert found == {"normalization.input": CategoricalDistribution(("none", "standardize", "log_standardize"))}


def test_normalizations_of_the_users_replace_them_for_the_fields_he_names(today: Params) -> None:
    found = space_of(today, normalization={"input": ["robust"]})
    assert found == {"normalization.input": CategoricalDistribution(("none", "robust"))}


def test_automatic_weights_move_every_loss_but_the_first(today: Params) -> None:
    found = space_of(today, loss_weights="auto")
    assert found == {"loss_weights.b": FloatDistribution(2e-3, 200.0, log=True)}


def test_weights_of_the_users_are_taken_as_they_are(today: Params) -> None:
    found = space_of(today, loss_weights={"a": {"low": 0.1, "high": 10.0}, "b": [2.0, 4.0]})
    assert found == {
        "loss_weights.a": FloatDistribution(0.1, 10.0, log=True),
        "loss_weights.b": CategoricalDistribution((2.0, 4.0)),
    }


def test_one_loss_has_no_weight_to_search() -> None:
    assert space_of(Params(lr=0.1, batch_size=8, loss_weights={"a": 1.0}), loss_weights="auto") == {}


def test_a_field_that_is_not_there_is_refused(today: Params) -> None:
    with pytest.raises(ConfigError, match=r"^space\.normalization names the field 'inptu'; did you mean 'input'\?"):
        space_of(today, normalization={"inptu": ["none"]})


def test_an_extra_that_the_factory_does_not_take_is_refused(today: Params) -> None:
    with pytest.raises(
        ConfigError, match=r"^space\.extras names 'droput', which model\.factory does not take; did you mean 'dropout'"
    ):
        space_of(today, extras={"droput": [0.0]})
    assert set(space_of(today, factory=None, extras={"droput": [0.0]})) == {"droput"}


def test_the_weight_of_a_penalty_is_not_searched() -> None:
    today = Params(lr=0.01, batch_size=8, loss_weights={"kl": 0.1, "image": 1.0, "sound": 1.0})
    assert "loss_weights.sound" in space_of(today, scored=("image", "sound"), loss_weights="auto")
    assert not any("kl" in name or "image" in name for name in space_of(today, scored=("image", "sound")))
    with pytest.raises(ConfigError, match=r"space\.loss_weights names 'kl', which no score can weigh"):
        space_of(today, scored=("image", "sound"), loss_weights={"kl": {"low": 0.01, "high": 1.0}})
