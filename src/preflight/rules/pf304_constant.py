"""PF304: fields that never change, or repeat another one."""

from __future__ import annotations

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
        if _is_named(field, str(feature["name"])) and feature["values"] == "constant" and field.facts["constants"]
        if field.facts["samples"] >= SAMPLES.value and feature["minimum"] == feature["maximum"]
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


def _is_named(field: Field, name: str) -> bool:
    """Whether somebody gave the feature a name: a border pixel that is always 0 is no fault."""
    return name != field.name and not name.startswith(f"{field.name}[")


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
    "Single pixels and unnamed columns do not count.",
    matters="Nothing can be learned from a constant: of a target it makes any loss look solved, of an input it usually "
    "means that loading went wrong. Two views of a sample that are one make a contrast of them trivial.",
    fix="Look at how the field is loaded; leave the feature out if it is meant to be constant.",
    check=check,
    thresholds=(SAMPLES,),
    causes=("PF401", "PF402", "PF410", "PF502"),
)
