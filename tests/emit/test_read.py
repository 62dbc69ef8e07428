import math
from typing import Any

import pytest

from preflight.core.edit import MISSING
from preflight.core.errors import ConfigFileError
from preflight.emit.read import same_value, value_at
from preflight.emit.yaml_tree import parse


def read(text: str, path: str) -> Any:
    return value_at(parse(text, "x.yaml"), path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("1e5", 1e5),
        ("1_000", 1000),
        ("0x10", 16),
        ("yes", True),
        ("Off", False),
        ("y", "y"),
        ("~", None),
        ("", None),
        ("2020-01-01", "2020-01-01"),
        ("12:30", 750),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!float 3", 3.0),
        ("!!str 3", "3"),
        ("! 3", 3),
        ("???", "???"),
        ("one\n  two", "one two"),
        ("one\n\n  2", "one\n2"),
        ("|\n  1\n", "1\n"),
        ("[1, 2.0, a]", [1, 2.0, "a"]),
        ("{kind: none, clip: [0, 1e1]}", {"kind": "none", "clip": [0, 10.0]}),
        ("[]", []),
        ("{}", {}),
    ],
)
def test_values_are_read_as_omegaconf_reads_them(text: str, value: Any) -> None:
    assert same_value(read(f"v: {text}\nw: 1\n", "v"), value)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("a: &x 1\nb: *x\n", "b", 1),
        ("a: &x {b: 1}\nc: *x\n", "c.b", 1),
        ("a: &x {b: 1}\nc: {<<: *x}\n", "c.b", 1),
        ("a: &x {b: 1}\nc: {<<: *x, b: 2}\n", "c.b", 2),
        ("a: &x {b: 1}\nz: &z {b: 3, d: 4}\nc: {<<: [*x, *z]}\n", "c", {"b": 1, "d": 4}),
        ("a: &x {b: 1}\nz: &z {<<: *x, d: 4}\nc: {<<: *z}\n", "c.b", 1),
        ("a: 1\nb: ${a}\n", "b", 1),
        ("a: {b: 1, c: '${.b}'}\n", "a.c", 1),
        ("a: {b: 1, c: '${.b}'}\n", "a", {"b": 1, "c": 1}),
        ("a: {b: 1}\nc: ${a}\n", "c.b", 1),
        ("a: {b: 1}\nc: ${a}\n", "c", {"b": 1}),
        ("a: [{b: 1}, 2]\nc: '${a[1]}'\n", "c", 2),
        ("1: {x: '${a}'}\na: 5\n", "1.x", 5),
        ("a: 1\nb: ${a}/x\n", "b", "1/x"),
        ("a: 1\nb: \\${a}\n", "b", "${a}"),
        ("a: !include other.yaml\nb: 1e1\n", "b", 10.0),
        ("a: !!map {b: !!seq [1], c: ! 2}\n", "a", {"b": [1], "c": 2}),
        ("a: !mine {b: 1}\n", "a.b", 1),
        ("a: 1\n", "b", MISSING),
        ("a:\n", "a.b.c", MISSING),
        ("", "a", MISSING),
        ("# c\n---\n", "a.b", MISSING),
    ],
)
def test_references_are_resolved(text: str, path: str, value: Any) -> None:
    assert same_value(read(text, path), value)


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        (
            "a: ${b.c}\n",
            "a",
            "x.yaml: cannot read 'a': 'a' is ${b.c}, which does not resolve within this file: ",
        ),
        ("a: ${b}\nb: ${a}\n", "a", "Recursive interpolation"),
        ("a: ${no_such_resolver:1}\n", "a", "Unsupported interpolation type no_such_resolver"),
        ("a: ${\n", "a", "cannot read 'a': 'a' is ${, which does not resolve"),
        ("b: {c: 1}\na: ${b}\n", "a.d", "cannot read 'a.d': 'a' is ${b}"),
        ("a: ${b}\nb: 1\nc: 1\nc: 2\n", "a", "found duplicate key c"),
        ("a: !include x.yaml\n", "a", "x.yaml, line 1: cannot read !include x.yaml: could not determine"),
        ("a: !mine {b: 1}\n", "a", "x.yaml, line 1: cannot read !mine {b: 1}: the tag does not fit a mapping"),
        ("a: !!float [1]\n", "a", "x.yaml, line 1: cannot read !!float [1]: the tag does not fit a sequence"),
        ("a: !!int x\n", "a", "x.yaml, line 1: cannot read !!int x: invalid literal"),
        ("a: {b: {c: {d: 1}}}\n", "a", "x.yaml: 'a' holds nested values; name one of the values in it"),
        ("a: [[1]]\n", "a", "x.yaml: 'a' holds nested values"),
        ("a: {1: 2}\n", "a", "x.yaml: 'a' has keys that are not text"),
        ("a: {[1]: 2}\n", "a", "x.yaml, line 1: a key must be a single value"),
        ("a: !!binary aGk=\n", "a", "x.yaml: 'a' holds a bytes"),
    ],
)
def test_what_cannot_be_read(text: str, path: str, reason: str) -> None:
    with pytest.raises(ConfigFileError) as error:
        read(text, path)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (math.nan, math.nan, True),
        ([1, math.nan], [1, math.nan], True),
        ([1], [1, 2], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1.0}, False),
        (MISSING, None, False),
        (MISSING, MISSING, True),
    ],
)
def test_same_value(one: Any, other: Any, expected: bool) -> None:
    assert same_value(one, other) is expected
