"""Arguments of `preflight.tune`, checked by their types before they become a configuration."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from preflight.core.errors import ConfigError

# What each may be besides None; a dotted name and a `_target_` do in place of a function, as in a configuration.
FUNCTIONS = {
    "factory": "a function that builds the model",
    "metric": "a function of (output, target)",
    "optimizer": "a function of parameter groups and lr",
    "scheduler": "a function of the optimizer",
}
MAPPINGS = {
    "losses": "a mapping, name -> function of (output, target)",
    "baseline": "a mapping, setting -> today's value",
    "mapping": "a mapping, setting -> its key in the file to correct",
    "components": "a mapping, name -> pattern of parameter names",
    "fields": "a mapping, name of an input -> what is known of it",
    "lr_ratios": "a mapping, component -> ratio of its learning rate",
}
LISTS = {"inputs": "a list of names", "targets": "a list of names", "overrides": 'a list such as ["budget=smoke"]'}
TEXTS = ("metric_goal", "head", "schedule", "scheduler_interval", "name")
DATA = "(train, validation) or a function that returns it"
NEEDED = ("factory", "data", "losses")
AUDIENCE = ("say", "begin", "advance", "end")


def check_arguments(given: Mapping[str, Any]) -> None:
    """Raise :class:`ConfigError` naming the first argument of another type, its value, and what it may be."""
    for name, value in given.items():
        if value is None and name not in NEEDED:
            continue
        if name in FUNCTIONS:
            _require(_is_function(value), name, value, FUNCTIONS[name])
        elif name in MAPPINGS:
            _check_mapping(name, value)
        elif name in LISTS:
            _require(_is_list_of_texts(name, value), name, value, LISTS[name])
        elif name in TEXTS:
            _require(isinstance(value, str), name, value, "text")
    # A pair is judged where it is read, with its fields.
    _require(_is_function(given["data"]) or isinstance(given["data"], Sequence), "data", given["data"], DATA)
    for name in ("config", "checkpoint"):
        _require(isinstance(given[name], str | os.PathLike | None), name, given[name], "a path")
    _check_audience(given["audience"])


def _check_mapping(name: str, value: Any) -> None:
    _require(isinstance(value, Mapping), name, value, MAPPINGS[name])
    for key, item in value.items():
        _require(isinstance(key, str), f"a key of {name}", key, "text")
        if name == "losses":
            _require(_is_function(item), f"losses[{key!r}]", item, "a function of (output, target)")


def _is_list_of_texts(name: str, value: Any) -> bool:
    if isinstance(value, str):
        return name != "overrides"  # one name alone
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _check_audience(value: Any) -> None:
    fits = value is None or all(callable(getattr(value, name, None)) for name in AUDIENCE)
    _require(fits, "audience", value, f"an object with the methods {', '.join(AUDIENCE)}")


def _is_function(value: Any) -> bool:
    return callable(value) or isinstance(value, str | Mapping)


def _require(fits: bool, name: str, value: Any, what: str) -> None:
    if not fits:
        raise ConfigError(f"{name} of tune() must be {what}, got {reprlib.repr(value)} ({type(value).__name__})")
