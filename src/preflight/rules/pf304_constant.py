"""PF304: fields that never change, or repeat another one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from preflight.core.finding import ERROR, NOTE, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.fields import Field, features, fields, several
from preflight.telemetry.recording import Recording

SAMPLES = Threshold(
    "SAMPLES", 100.0, "training samples at least that are all alike", "a rare flag may be 0 in fewer of them"
)


def is_constant(field: Field) -> bool:
    """Whether nothing in the field ever changes."""
    return bool(field.facts["constants"] == field.facts["width"] and field.facts["samples"] >= SAMPLES.value)


def check(recording: Recording) -> Answer:
    """A constant target is worst, then an input without anything in it, then a named feature."""
    targets = [field for field in fields(recording, "target") if is_constant(field)]
    inputs = fields(recording, "input")
    empty = [field for field in inputs if is_constant(field) and field.facts["dtype"] != "bool"]
    if targets:
        return _whole(targets, "target", ERROR)
    if empty:
        return _whole(empty, "input", ERROR if len(empty) == len(inputs) else WARNING)
    copied = [field for field in inputs if _copied_by(recording, field)]
    if copied:
        return _copy(copied[0], _copied_by(recording, copied[0]))
    named = [
        (field, feature)
        for field, feature in features(recording, "input")
        if _never_changes(field, feature) and (_is_named(field, str(feature["name"])) or _is_column(field, feature))
    ]
    if not named:
        return Clean()
    field, first = named[0]
    return Finding(
        NOTE,
        f"the input {several([owner.label(feature) for owner, feature in named])} never changes: it is "
        f"{first['minimum']:.6g} in all {field.facts['samples']} training samples looked at",
        (Evidence("samples that are alike", float(field.facts["samples"]), SAMPLES.value),),
        (Remedy("leave it out, or find out why it is constant"),),
        where=field.where(first),
    )


def _copied_by(recording: Recording, field: Field) -> str:
    """The input that the field equals, value by value; empty where it is one of its own."""
    found = (recording.facts.get("pairs") or {}).get(field.name) or {}
    is_sure = field.facts["samples"] >= SAMPLES.value and field.facts["dtype"] != "bool"
    return str(found.get("copy_of") or "") if is_sure else ""


def _copy(field: Field, other: str) -> Finding:
    samples = float(field.facts["samples"])
    return Finding(
        WARNING,
        f"the input '{field.name}' is a copy of '{other}' in all {samples:g} training samples looked at: it says "
        "nothing that the other does not",
        (Evidence("samples in which both are alike", samples, SAMPLES.value),),
        (Remedy("look at how both are loaded: a second view, a pair or another column is meant to differ"),),
        where=field.name,
    )


def _never_changes(field: Field, feature: Mapping[str, Any]) -> bool:
    is_constant = feature["values"] == "constant" and feature["minimum"] == feature["maximum"]
    return bool(is_constant and field.facts["constants"] and field.facts["samples"] >= SAMPLES.value)


def _is_named(field: Field, name: str) -> bool:
    """Whether somebody gave the feature a name: a border pixel that is always 0 is no fault."""
    return name != field.name and not name.startswith(f"{field.name}[")


def _is_column(field: Field, feature: Mapping[str, Any]) -> bool:
    """Whether an unnamed feature is a column of a table, with a value of its own.

    Where it is the lowest or highest one of another feature, it may be the blank that both have: the border of
    flattened images, a word or a class that is absent. Zeros may be that, too, in columns that were standardized each
    by itself, and ones are the intercept of a linear model.
    """
    if len(field.facts["shape"]) != 1 or field.kind(feature) == "image" or feature["minimum"] in (0, 1):
        return False
    others = [item for item in field.features if item["minimum"] < item["maximum"]]
    ends = {item[end] for item in others for end in ("minimum", "maximum")}
    return bool(others) and not any(_is_near(feature["minimum"], end) for end in ends)


def _is_near(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=1e-6, abs_tol=1e-12)


def _whole(found: list[Field], role: str, severity: str) -> Finding:
    first = found[0]
    value, samples = first.features[0].get("minimum", 0.0), first.facts["samples"]
    return Finding(
        severity,
        f"the {role} {several([repr(field.name) for field in found])} never changes: every value is {value:.6g} in all "
        f"{samples} training samples looked at",
        (Evidence("samples that are alike", float(samples), SAMPLES.value),),
        (Remedy(f"look at how the {role} is loaded: a wrong column, a failed join and a mask give constants"),),
        where=first.name,
    )


RULE = Rule(
    code="PF304",
    name="constant-feature",
    title="A field never changes, or repeats another one",
    detects="A target, an input field or an input feature that the task names has one value in all training samples "
    "that were looked at (in all there are, where they are in memory); or an input equals another one, value by value. "
    "An unnamed column of a table counts where its value is none of 0 and 1 and not the lowest or highest of another "
    "column, as the blank pixels of flattened images and absent words are; single pixels do not.",
    matters="Nothing can be learned from a constant: of a target it makes any loss look solved, of an input it usually "
    "means that loading went wrong. Two views of a sample that are one make a contrast of them trivial.",
    fix="Look at how the field is loaded; leave the feature out if it is meant to be constant.",
    check=check,
    thresholds=(SAMPLES,),
    causes=("PF401", "PF402", "PF410", "PF502"),
)
