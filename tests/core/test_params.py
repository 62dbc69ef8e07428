from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.core.params import NESTED, Params, ParamValue

OWN = (
    "lr",
    "batch_size",
    "warmup_fraction",
    "shuffle",
    "weight_decay",
    "clip_norm",
    "scheduler_interval",
    "num_workers",
)

positive = st.floats(1e-6, 1e3)
# Names as they come: an inner name may hold dots itself, an extra is a parameter of a function.
inner = st.text(st.characters(categories=("L", "N"), include_characters="._-"), min_size=1, max_size=8)
extra = st.sampled_from(NESTED) | st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in OWN
)
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5)
settings = st.builds(
    Params,
    lr=positive,
    batch_size=st.integers(1, 4096),
    warmup_fraction=st.floats(0, 1),
    shuffle=st.booleans(),
    weight_decay=st.none() | positive,
    clip_norm=st.none() | positive,
    loss_weights=st.dictionaries(inner, positive, max_size=3),
    normalization=st.dictionaries(inner, st.sampled_from(["none", "standardize"]), max_size=3),
    extras=st.dictionaries(extra, scalars, max_size=3),
)


@pytest.fixture
def today() -> Params:
    return Params(
        lr=0.1,
        batch_size=32,
        loss_weights={"video": 1.0},
        normalization={"input": "none"},
        extras={"dropout": 0.0},
    )


def test_flat_names_are_dotted_for_groups_and_bare_for_extras(today: Params) -> None:
    assert today.flat() == {
        "lr": 0.1,
        "batch_size": 32,
        "warmup_fraction": 0.0,
        "shuffle": True,
        "weight_decay": None,
        "clip_norm": None,
        "scheduler_interval": None,
        "num_workers": None,
        "loss_weights.video": 1.0,
        "normalization.input": "none",
        "dropout": 0.0,
    }


@given(settings, settings)
def test_flat_values_of_one_make_the_other(here: Params, there: Params) -> None:
    bare = replace(here, loss_weights={}, normalization={}, extras={})
    assert bare.with_values(there.flat()) == there


@given(settings)
def test_with_its_own_values_nothing_changes(params: Params) -> None:
    assert params.with_values(params.flat()) == params
    assert params.with_values({}) == params
    assert params.changes_from(params) == {}


@given(settings, settings)
def test_changes_are_just_enough(today: Params, other: Params) -> None:
    changes = other.changes_from(today)
    changed = today.with_values(changes)
    assert all(changed.flat().get(name) == value for name, value in other.flat().items())
    assert all(today.flat().get(name) != value for name, value in changes.items())


@given(settings, settings)
def test_undoing_every_change_leads_back(today: Params, other: Params) -> None:
    changed = today.with_values(other.flat())
    undone = changed.undone(list(changed.changes_from(today)), today)
    assert undone.changes_from(today) == {}


@given(settings, settings)
def test_equal_settings_have_equal_keys_and_others_have_not(one: Params, other: Params) -> None:
    same = Params(**{name: getattr(one, name) for name in Params.__dataclass_fields__})
    assert hash(one.key()) == hash(same.key())
    assert one.key() == same.key()
    assert (one.key() == other.key()) == (one.flat() == other.flat())


def test_changing_a_copy_leaves_the_original_alone(today: Params) -> None:
    changed = today.with_values({"loss_weights.video": 2.0, "normalization.input": "robust", "dropout": 0.1, "lr": 1.0})
    assert today.flat()["loss_weights.video"] == 1.0
    assert changed == Params(
        lr=1.0,
        batch_size=32,
        loss_weights={"video": 2.0},
        normalization={"input": "robust"},
        extras={"dropout": 0.1},
    )


def test_a_name_that_is_no_setting_becomes_an_extra(today: Params) -> None:
    assert today.with_values({"hidden": 64}).extras == {"dropout": 0.0, "hidden": 64}


@pytest.mark.parametrize("name", NESTED)
def test_a_factory_may_have_a_parameter_with_the_name_of_a_group(today: Params, name: str) -> None:
    assert today.with_values({name: "batch"}) == replace(today, extras={"dropout": 0.0, name: "batch"})


def test_an_inner_name_may_hold_dots_itself(today: Params) -> None:
    assert today.with_values({"loss_weights.a.b": 2.0}).loss_weights == {"video": 1.0, "a.b": 2.0}


def test_changes_come_in_the_order_of_the_fields(today: Params) -> None:
    changed = today.with_values({"dropout": 0.1, "loss_weights.video": 3.0, "clip_norm": 1.0, "lr": 0.2})
    assert list(changed.changes_from(today)) == ["lr", "clip_norm", "loss_weights.video", "dropout"]


def test_a_setting_that_goes_back_to_none_is_a_change(today: Params) -> None:
    clipped = replace(today, clip_norm=1.0)
    assert today.changes_from(clipped) == {"clip_norm": None}
    assert clipped.with_values({"clip_norm": None}) == today


def test_undoing_takes_an_extra_out_that_today_leaves_to_the_factory(today: Params) -> None:
    bare = replace(today, extras={})
    assert bare.with_values({"dropout": 0.1, "lr": 0.2}).undone(["dropout"], bare) == replace(bare, lr=0.2)


def test_undoing_keeps_an_extra_that_today_sets_to_none(today: Params) -> None:
    none = replace(today, extras={"norm": None})
    assert none.with_values({"norm": "batch"}).undone(["norm"], none) == none


def test_undoing_one_change_keeps_the_others(today: Params) -> None:
    changed = today.with_values({"lr": 0.2, "normalization.input": "robust", "dropout": 0.1})
    undone = changed.undone(["normalization.input"], today)
    assert undone.changes_from(today) == {"lr": 0.2, "dropout": 0.1}


@pytest.mark.parametrize("value", [[64, 64], {"depth": [1, 2], "act": "relu"}])
def test_an_extra_of_the_users_file_may_be_a_list_or_a_mapping(today: Params, value: ParamValue) -> None:
    one, same = (replace(today, extras={"layers": value}) for _ in range(2))
    assert {one.key(): 1} == {same.key(): 1}
    assert one.key() != today.key()


def test_workers_are_a_setting_that_changes_no_score(today: Params) -> None:
    other = today.with_values({"num_workers": 4})
    assert other.changes_from(today) == {"num_workers": 4}
    assert other.key() == today.key()
