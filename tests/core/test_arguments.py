from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import preflight
from preflight.core.arguments import check_arguments
from preflight.core.errors import ConfigError

DEFAULTS = {name: item.default for name, item in inspect.signature(preflight.tune).parameters.items()}
GOOD: dict[str, Any] = {**DEFAULTS, "factory": dict, "data": ((1, 2), (3, 4)), "losses": {"mse": max}}


def test_arguments_of_every_usual_kind_are_taken() -> None:
    check_arguments(GOOD)
    more = {"config": Path("x.yaml"), "inputs": "x", "targets": ("y",), "overrides": ["seed=1"], "data": lambda: None}
    check_arguments(
        {**GOOD, **more, "baseline": {"lr": 0.1}, "metric": "mine.metric", "losses": {"a": {"function": "b"}}}
    )


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("factory", 1, "factory of tune() must be a function that builds the model, got 1 (int)"),
        ("factory", None, "factory of tune() must be a function that builds the model, got None (NoneType)"),
        ("data", 2, "data of tune() must be (train, validation) or a function that returns it, got 2 (int)"),
        ("losses", 3, "losses of tune() must be a mapping, name -> function of (output, target), got 3 (int)"),
        ("losses", max, "losses of tune() must be a mapping"),
        ("losses", {"mse": 3}, "losses['mse'] of tune() must be a function of (output, target), got 3 (int)"),
        ("losses", {1: max}, "a key of losses of tune() must be text, got 1 (int)"),
        ("baseline", [0.1], "baseline of tune() must be a mapping, setting -> today's value, got [0.1] (list)"),
        ("mapping", "lr", "mapping of tune() must be a mapping, setting -> its key in the file to correct, got 'lr'"),
        ("components", 1, "components of tune() must be a mapping"),
        ("fields", ["x"], "fields of tune() must be a mapping"),
        ("lr_ratios", 0.1, "lr_ratios of tune() must be a mapping"),
        ("config", 3, "config of tune() must be a path, got 3 (int)"),
        ("checkpoint", {}, "checkpoint of tune() must be a path, got {} (dict)"),
        ("metric", 0.5, "metric of tune() must be a function of (output, target), got 0.5 (float)"),
        ("metric_goal", 1, "metric_goal of tune() must be text, got 1 (int)"),
        ("optimizer", 1, "optimizer of tune() must be a function of parameter groups and lr, got 1 (int)"),
        ("scheduler", 1, "scheduler of tune() must be a function of the optimizer, got 1 (int)"),
        ("inputs", [1], "inputs of tune() must be a list of names, got [1] (list)"),
        ("overrides", "seed=1", "overrides of tune() must be a list such as"),
        ("overrides", [1], "overrides of tune() must be a list such as"),
        ("name", 1, "name of tune() must be text, got 1 (int)"),
        ("audience", print, "audience of tune() must be an object with the methods say, begin, advance, end"),
    ],
)
def test_an_argument_of_another_type_is_named_with_what_it_may_be(name: str, value: Any, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_arguments({**GOOD, name: value})
    assert text in str(error.value)


def test_a_long_value_is_cut_short() -> None:
    with pytest.raises(ConfigError) as error:
        check_arguments({**GOOD, "baseline": list(range(100_000))})
    assert len(str(error.value)) < 200
