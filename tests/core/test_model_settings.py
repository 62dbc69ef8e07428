from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.core.model_settings import (
    DEFAULT_OPTIMIZER,
    FIELD_KINDS,
    KNOWN,
    OWN_SCHEDULE,
    OWN_SETTINGS,
    RESERVED,
    SCHEDULES,
    FieldSettings,
    LossSettings,
    MetricSettings,
    ModelSettings,
    parse_model,
)

Refusal = Callable[..., str]


@pytest.fixture
def parsed(model: dict[str, Any]) -> Callable[..., ModelSettings]:
    """Settings of the smallest model with some keys replaced."""
    return lambda **changes: parse_model({**model, **changes}, name="small", folder=None)


@pytest.fixture
def refused(model: dict[str, Any], refusal: Refusal) -> Callable[..., str]:
    """Why the smallest model with some keys replaced is refused."""
    return lambda **changes: refusal(parse_model, {**model, **changes}, name="small", folder=None)


def test_the_least_that_can_be_said_has_sensible_defaults(model: dict[str, Any]) -> None:
    parsed = parse_model(model, name="small", folder=Path("here"))
    assert parsed == ModelSettings(
        name="small",
        factory="net.build",
        data="net.load",
        losses={"mse": LossSettings("torch.nn.functional.mse_loss")},
        metric=None,
        inputs=(),
        targets=(),
        fields={},
        components={},
        head=None,
        optimizer=DEFAULT_OPTIMIZER,
        lr_ratios={},
        schedule="constant",
        scheduler=None,
        scheduler_interval="step",
        horizon_steps=None,
        log_every_steps=None,
        baseline={},
        config=None,
        mapping={},
        checkpoint=None,
        space={},
        folder=Path("here"),
    )


def test_a_name_of_its_own_goes_before_that_of_the_file(parsed: Callable[..., ModelSettings]) -> None:
    assert parsed(name="mine").name == "mine"
    assert parsed(name="").name == "small"


def test_an_unknown_key_lists_every_known_one(refused: Callable[..., str]) -> None:
    text = refused(optimiser="sgd")
    assert text.startswith("unknown key 'model.optimiser'; did you mean 'optimizer'? known: ")
    assert all(name in text for name in KNOWN)


@pytest.mark.parametrize("key", ["factory", "data", "losses"])
def test_what_cannot_be_guessed_is_required_with_an_example(key: str, refused: Callable[..., str]) -> None:
    assert refused(**{key: None}).startswith(f"'model.{key}' is missing; it looks like: {key}: {{")


@pytest.mark.parametrize("losses", [{}, "mse", ["mse"], 3])
def test_losses_have_names(losses: object, refused: Callable[..., str]) -> None:
    assert refused(losses=losses) == f"model.losses must map names to losses, got {losses!r}"


def test_a_loss_is_a_name_a_target_or_a_function_with_roles(parsed: Callable[..., ModelSettings]) -> None:
    target = {"_target_": "torch.nn.HuberLoss", "delta": 2.0}
    roles = {"function": "my.mse", "output": "video", "target": "frames"}
    losses = parsed(losses={"a": "my.loss", "b": target, "c": roles, "d": abs}).losses
    assert losses == {
        "a": LossSettings("my.loss"),
        "b": LossSettings(target),
        "c": LossSettings("my.mse", "video", "frames"),
        "d": LossSettings(abs),
    }


def test_an_unknown_role_of_a_loss_is_named(refused: Callable[..., str]) -> None:
    text = refused(losses={"a": {"function": "f", "outptu": "x"}})
    assert text == "unknown key 'model.losses.a.outptu'; did you mean 'output'? known: function, output, target"
    assert refused(losses={"a": {"output": "x"}}).startswith("'model.losses.a.function' is missing")
    assert refused(losses={"a": {"function": "f", "target": 3}}) == "model.losses.a.target must be text, got 3"


@pytest.mark.parametrize("name", RESERVED["losses"])
def test_a_loss_cannot_have_the_name_of_a_column(name: str, refused: Callable[..., str]) -> None:
    assert refused(losses={name: "f"}).startswith(f"model.losses.{name} has the name of a column")


@pytest.mark.parametrize("name", RESERVED["components"])
def test_nor_can_a_component(name: str, refused: Callable[..., str]) -> None:
    assert refused(components={name: "net.*"}).startswith(f"model.components.{name} has the name of a column")


def test_a_metric_is_named_by_its_function_and_says_its_goal(parsed: Callable[..., ModelSettings]) -> None:
    metric = {"function": "preflight.tasks.metrics.accuracy", "goal": "maximize"}
    assert parsed(metric=metric).metric == MetricSettings("accuracy", metric["function"], "maximize")
    assert parsed(metric={**metric, "name": "top1"}).metric == MetricSettings("top1", metric["function"], "maximize")
    assert parsed(metric={"function": max, "goal": "minimize"}).metric == MetricSettings("metric", max, "minimize")


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        ("accuracy", "model.metric must be a mapping of keys, got 'accuracy'"),
        ({"goal": "maximize"}, "'model.metric.function' is missing"),
        ({"function": "a.b"}, "model.metric.goal is missing: say whether b is to minimize or maximize"),
        (
            {"function": "a.b", "goal": "maximise"},
            "model.metric.goal=maximise is not one of them; did you mean 'maximize'? known: maximize, minimize",
        ),
        ({"function": "a.b", "gaol": "maximize"}, "unknown key 'model.metric.gaol'; did you mean 'goal'?"),
    ],
)
def test_a_wrong_metric_is_refused(metric: object, text: str, refused: Callable[..., str]) -> None:
    assert refused(metric=metric).startswith(text)


def test_what_is_known_of_a_field(parsed: Callable[..., ModelSettings]) -> None:
    fields = {
        "pulses": {"features": ["time", "charge"], "kind": ["continuous", "heavy_tailed"], "mask": "valid"},
        "image": {"kind": "image"},
    }
    assert parsed(fields=fields).fields == {
        "pulses": FieldSettings(("time", "charge"), ("continuous", "heavy_tailed"), "valid"),
        "image": FieldSettings((), ("image",)),
    }


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("image", "model.fields.x must be a mapping of keys, got 'image'"),
        (
            {"kinds": "image"},
            "unknown key 'model.fields.x.kinds'; did you mean 'kind'? known: axis, features, kind, mask",
        ),
        ({"kind": "picture"}, "model.fields.x.kind=picture is not a kind of field; known: "),
        (
            {"features": ["a"], "kind": ["count", "binary"]},
            "model.fields.x.kind lists 2 kinds for 1 features; give one kind, or one for each name in features",
        ),
        ({"mask": ["a"]}, "model.fields.x.mask must be text, got ['a']"),
        ({"axis": 0}, "model.fields.x.axis must be a whole number of at least 1, got 0"),
        ({"features": [1]}, "model.fields.x.features must be a list of names, got [1]"),
    ],
)
def test_a_wrong_field_is_refused(field: object, text: str, refused: Callable[..., str]) -> None:
    assert refused(fields={"x": field}).startswith(text)


def test_an_unknown_kind_lists_the_kinds(refused: Callable[..., str]) -> None:
    assert all(kind in refused(fields={"x": {"kind": "?"}}) for kind in FIELD_KINDS)


@pytest.mark.parametrize("ratio", [0, -1, "10", None, True])
def test_ratios_of_learning_rates_are_positive_numbers(ratio: object, refused: Callable[..., str]) -> None:
    text = refused(lr_ratios={"head": ratio})
    assert text.startswith("model.lr_ratios.head must be ")
    assert str(ratio) in text


@pytest.mark.parametrize("horizon", [0, -5, 1.5, "long", True])
def test_a_horizon_is_a_number_of_steps(horizon: object, refused: Callable[..., str]) -> None:
    text = refused(horizon_steps=horizon)
    assert text == f"model.horizon_steps must be a whole number of at least 1, got {horizon!r}"


def test_an_interval_of_logging_is_a_number_of_steps(
    parsed: Callable[..., ModelSettings], refused: Callable[..., str]
) -> None:
    assert parsed(log_every_steps=1000).log_every_steps == 1000
    text = refused(log_every_steps=0)
    assert text == "model.log_every_steps must be a whole number of at least 1, got 0"


def test_an_unknown_schedule_lists_them(refused: Callable[..., str]) -> None:
    assert refused(schedule="cosin") == (
        "model.schedule=cosin is not one of them; did you mean 'cosine'? known: constant, cosine, linear"
    )


def test_a_scheduler_takes_the_place_of_the_schedule(parsed: Callable[..., ModelSettings]) -> None:
    spec = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 30}
    found = parsed(scheduler=spec, scheduler_interval="epoch")
    assert (found.schedule, found.scheduler, found.scheduler_interval) == (OWN_SCHEDULE, spec, "epoch")
    assert parsed(scheduler=abs).scheduler_interval == "step"
    assert OWN_SCHEDULE not in SCHEDULES


def test_there_is_one_schedule_and_its_interval_is_a_known_one(refused: Callable[..., str]) -> None:
    text = refused(scheduler="mine.make", schedule="cosine")
    assert text.startswith("model.schedule=cosine and model.scheduler are both given")
    text = refused(scheduler_interval="epoch", schedule="cosine")
    assert text == "model.scheduler_interval is given without model.scheduler, which it is said of"
    text = refused(scheduler="mine.make", scheduler_interval="epcoh")
    assert text == "model.scheduler_interval=epcoh is not one of them; did you mean 'epoch'? known: epoch, step"


def test_a_mapping_needs_the_file_that_it_maps_into(refused: Callable[..., str]) -> None:
    assert "model.mapping is given without model.config" in refused(mapping={"lr": "optim.lr"})


def test_config_and_mapping_are_kept(parsed: Callable[..., ModelSettings]) -> None:
    mapping = {"lr": "optim.lr", "warmup_epochs": "warm", "loss_weights.mse": "w", "normalization.x": "n", "drop": "d"}
    found = parsed(config="train/mine.yaml", mapping=mapping)
    assert (found.config, found.mapping) == (Path("train/mine.yaml"), mapping)


@pytest.mark.parametrize("key", [3, None, ["optim", "lr"], {"a": "b"}])
def test_a_key_of_the_users_file_is_text(key: object, refused: Callable[..., str]) -> None:
    text = refused(config="a.yaml", mapping={"lr": key})
    assert text == f"model.mapping.lr must be a dotted key of the file to correct, got {key!r}"


@pytest.mark.parametrize("where", ["mapping", "baseline"])
def test_settings_that_cannot_exist_are_refused_in_both_places(where: str, refused: Callable[..., str]) -> None:
    def text(name: str) -> str:
        return refused(config="a.yaml", **{where: {name: "k"}})

    assert text("loss_weights.mes") == (
        f"model.{where} names the loss weight 'loss_weights.mes'; did you mean 'mse'? known: mse"
    )
    assert text("loss_weights") == (
        f"model.{where}.loss_weights is written with one key for each name: loss_weights.NAME: ..."
    )
    unknown = text("optim.lr")
    assert unknown.startswith(f"model.{where} names the setting 'optim.lr'; ")
    assert all(name in unknown for name in (*OWN_SETTINGS, "loss_weights.NAME", "normalization.FIELD"))
    assert text("extras.dropout").startswith(f"model.{where} names the setting 'extras.dropout'")


@pytest.mark.parametrize("group", ["loss_weights", "normalization", "target_normalization"])
def test_settings_by_name_that_are_nested_are_shown_as_they_have_to_be_written(
    group: str, refused: Callable[..., str]
) -> None:
    text = refused(baseline={group: {"reg": 2, "mse": 1.5}})
    assert text == f"model.baseline.{group} is written with one key for each name: {group}.reg: 2, {group}.mse: 1.5"


@pytest.mark.parametrize(
    "names",
    [("warmup_steps", "warmup_epochs"), ("horizon_steps", "horizon_epochs"), ("warmup_fraction", "warmup_steps")],
)
def test_a_length_is_given_in_one_unit(names: tuple[str, str], refused: Callable[..., str]) -> None:
    text = refused(baseline=dict.fromkeys(names, 1))
    stem = names[0].split("_")[0]
    assert text.startswith(f"model.baseline gives the {stem} twice: {', '.join(names)}; keep one of the units")


def test_warmup_and_horizon_are_two_lengths(parsed: Callable[..., ModelSettings]) -> None:
    assert set(parsed(baseline={"warmup_steps": 1, "horizon_steps": 2}).baseline) == {"warmup_steps", "horizon_steps"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", 3),
        ("inputs", 3),
        ("targets", {"a": 1}),
        ("fields", ["x"]),
        ("components", ["a"]),
        ("head", 3),
        ("lr_ratios", 3),
        ("baseline", [1]),
        ("config", 3),
        ("mapping", "lr"),
        ("space", "lr"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(key: str, value: object, refused: Callable[..., str]) -> None:
    text = refused(**{key: value})
    assert text.startswith(f"model.{key} must be ")
    assert text.endswith(f"got {value!r}")
