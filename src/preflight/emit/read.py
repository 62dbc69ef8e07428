"""Reading a value from a config the way OmegaConf reads it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from preflight.core.edit import MISSING, Scalar, Value, _Missing
from preflight.core.errors import ConfigFileError
from preflight.emit.path import format_path
from preflight.emit.yaml_span import Place, locate
from preflight.emit.yaml_tree import Document, Node, merged_entries

_PLAIN_TAGS = {"mapping": "tag:yaml.org,2002:map", "sequence": "tag:yaml.org,2002:seq"}
_SCALARS = (str, int, float, bool, type(None))


def value_at(document: Document, path: str) -> Value | _Missing:
    """The value at ``path`` with aliases, merge keys and interpolations resolved, or MISSING.

    Raises ConfigFileError where the path cannot be used, an interpolation does not resolve, or the value is nested
    deeper than an Edit can hold. A mandatory ``???`` is returned as that text.
    """
    place = locate(document, path)
    if place.node is None and place.interpolation is None:
        return MISSING
    return _value(document, path, place)


def same_value(one: Value | _Missing, other: Value | _Missing) -> bool:
    """Equal in value and in type, all the way down; NaN is the same as NaN."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return True
    return type(one) is type(other) and one == other


def _value(document: Document, path: str, place: Place) -> Value:
    loaded: Any = None
    if place.node is not None:
        loaded = _construct(document, place.node)
    if place.node is None or _has_interpolation(loaded):
        loaded = _resolve(document, path, place)
    return _as_value(loaded, f"{document.source}: '{path}'")


def _construct(document: Document, node: Node) -> Any:
    node = node.resolved
    if node.kind == "scalar":
        return _construct_scalar(document, node)
    if node.tag not in (None, "!", _PLAIN_TAGS[node.kind]):
        raise _unreadable(document, node, f"the tag does not fit a {node.kind}")
    if node.kind == "sequence":
        return [_construct(document, item) for item in node.items]
    own = [entry for entry in node.entries if not entry.is_merge]
    return {
        _construct_key(document, entry.key): _construct(document, entry.value)
        for entry in (*merged_entries(node), *own)
    }


def _construct_key(document: Document, key: Node) -> Any:
    if key.resolved.kind != "scalar":
        line = document.text.count("\n", 0, key.start) + 1
        raise ConfigFileError(f"{document.source}, line {line}: a key must be a single value")
    return _construct_scalar(document, key.resolved)


def _construct_scalar(document: Document, node: Node) -> Any:
    tag = node.tag or ""
    if not tag and (node.style or "\n" in node.value or node.is_interpolation):
        return node.value
    try:
        return _load_scalar(node.value, tag)
    except Exception as error:  # PyYAML lets out whatever its constructors trip over
        raise _unreadable(document, node, _first_line(error)) from None


def _unreadable(document: Document, node: Node, reason: str) -> ConfigFileError:
    line = document.text.count("\n", 0, node.start) + 1
    return ConfigFileError(
        f"{document.source}, line {line}: cannot read {document.text[node.outer : node.end]}: {reason}"
    )


@lru_cache(maxsize=4096)
def _load_scalar(value: str, tag: str) -> Any:
    # By way of OmegaConf's own loader, which takes 3e-4 for a float where PyYAML sees text.
    quoted = yaml.safe_dump(value, default_style='"', width=2**31).rstrip("\n")
    source = f"v: !<{tag}> {quoted}" if tag else f"v: {value}"
    loaded = OmegaConf.to_container(OmegaConf.create(source))
    assert isinstance(loaded, dict)
    return loaded["v"]


def _has_interpolation(loaded: Any) -> bool:
    if isinstance(loaded, dict):
        return any(map(_has_interpolation, loaded.values()))
    if isinstance(loaded, list):
        return any(map(_has_interpolation, loaded))
    return isinstance(loaded, str) and "${" in loaded


def _resolve(document: Document, path: str, place: Place) -> Any:
    keys = [key if isinstance(key, int) else _construct_key(document, key) for key in place.keys]
    try:
        found: Any = OmegaConf.create(document.text)
        for key in (*keys, *place.missing):
            found = found[key]
        return OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found
    except (OmegaConfBaseException, yaml.YAMLError, KeyError, IndexError, TypeError) as error:
        stop = place.node or place.interpolation
        written = " ".join(document.content(stop.resolved).split()) if stop else ""
        reached = format_path(place.path[: len(place.path) - len(place.missing)])
        raise ConfigFileError(
            f"{document.source}: cannot read '{path}': '{reached}' is {written}, which does not resolve "
            f"within this file: {_first_line(error)}"
        ) from None


def _first_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        return error.problem
    return str(error).split("\n", maxsplit=1)[0]


def _as_value(loaded: Any, name: str) -> Value:
    if isinstance(loaded, dict):
        if not all(isinstance(key, str) for key in loaded):
            raise ConfigFileError(f"{name} has keys that are not text; name one of its entries instead")
        return {key: _flat(item, name) for key, item in loaded.items()}
    return _flat(loaded, name)


def _flat(loaded: Any, name: str) -> Scalar | list[Scalar]:
    for item in loaded if isinstance(loaded, list) else (loaded,):
        if isinstance(item, dict | list):
            raise ConfigFileError(f"{name} holds nested values; name one of the values in it instead")
        if not isinstance(item, _SCALARS):
            raise ConfigFileError(f"{name} holds a {type(item).__name__}, which preflight cannot compare")
    return cast("Scalar | list[Scalar]", loaded)
