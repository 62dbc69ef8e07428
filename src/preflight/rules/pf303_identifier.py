"""PF303: a name for something, fed as if it were an amount."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from preflight.core.finding import NOTE, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.fields import Field, embedding, features, several
from preflight.rules.pf301_unnormalized import RAW, level
from preflight.telemetry.recording import Recording

RANGE = Threshold(
    "RANGE",
    1000.0,
    "whole numbers from 0 or 1 without gaps and tails, for a feature whose name does not say that it is an identifier",
    "angles in degrees, days of a year and bytes are whole and even, too, and amounts",
)
CLASSES = Threshold("CLASSES", 3.0, "different values of a feature that is named an identifier", "two are a flag")
NEAR = 10
NAMED = re.compile(r"(^|[_\s.])(id|ids|idx|index|code|key|uid|uuid|zip|zipcode|postcode)$|[a-z](Id|ID|Idx|Code)$")


def is_named(feature: Mapping[str, Any]) -> bool:
    """Whether the name says that it names something."""
    return NAMED.search(str(feature["name"])) is not None


def is_identifier(field: Field, feature: Mapping[str, Any]) -> bool:
    """Whether a feature names something: as it is declared, by its name, or by whole numbers like no other."""
    values = feature["values"]
    if is_named(feature):
        return values in ("identifier", "count") and feature["distinct"] >= CLASSES.value
    if "identifier" not in (feature["kind"], values):
        return False
    if values != "identifier":
        return True  # declared
    spread = feature["maximum"] - feature["minimum"]
    # So many evenly drawn from 0 up would come as near to 0.
    starts = 0 <= feature["minimum"] <= 1 + NEAR * spread / feature["distinct"]
    return bool(starts and spread >= RANGE.value and not field.facts["pooled"])


def is_fed_as_number(field: Field, feature: Mapping[str, Any]) -> bool:
    """Whether its size counts: where the model was tried, by that; else if it comes as a floating-point number."""
    if field.reach:
        seen = field.reach.get("features")
        if seen is None or feature["name"] not in seen:
            return "Embedding" not in str(field.reach.get("type", "")) and field.facts["dtype"].startswith("float")
        return field.is_number(feature)
    return bool(field.facts["dtype"].startswith("float"))


def is_raw(field: Field, feature: Mapping[str, Any]) -> bool:
    """Whether it reaches the first layer at a size that is a fault by itself (PF301), of which it is the cause."""
    return bool(level(field) >= 1 and feature["fed"]["rms"] * field.attenuation >= RAW.value)


def check(recording: Recording) -> Answer:
    """Judge every input feature; the largest one is named first, as PF301 names it."""
    found = [
        (field, feature)
        for field, feature in features(recording, "input")
        if is_identifier(field, feature) and is_fed_as_number(field, feature)
    ]
    if not found:
        return Clean()
    found.sort(key=lambda item: -item[1]["fed"]["rms"] * item[0].attenuation)
    field, worst = found[0]
    names = several([owner.label(feature) for owner, feature in found])
    is_certain = any(is_named(feature) or feature["values"] != "identifier" for _, feature in found)
    highest = worst["maximum"]
    return Finding(
        WARNING if is_certain or is_raw(field, worst) else NOTE,
        f"the input {names} {'is' if is_certain else 'looks like'} an identifier, fed as a number: {worst['distinct']} "
        f"different whole numbers from {worst['minimum']:.0f} to {highest:.0f}, none of them common",
        (Evidence("different values", float(worst["distinct"]), CLASSES.value), Evidence("largest", highest)),
        (_remedy(names, worst, is_certain),),
        where=field.where(worst),
    )


def _remedy(names: str, worst: Mapping[str, Any], is_certain: bool) -> Remedy:
    text = f"embed {names}: {embedding(worst)}. Put the vectors beside the other features, and do not z-score it"
    return Remedy(text if is_certain else f"{text}; only where its size is what counts, normalize it (PF301)")


RULE = Rule(
    code="PF303",
    name="identifier-as-number",
    title="An identifier is fed as a number",
    detects="A feature of whole numbers that is declared or named an identifier, or has many of them from 0 or 1 up, "
    "evenly and without tails (a note, unless its size alone does harm as well); and a small change of the value "
    "changes what the model makes of it, as it does not where it is an index into an embedding.",
    matters="Number 17 is not next to number 18 in anything but its name: a network has to unlearn the order, and the "
    "size of large numbers drowns the other features.",
    fix="Embed it (torch.nn.Embedding), or replace it by what it stands for, such as a sensor's coordinates. "
    "Standardizing it only hides the size.",
    check=check,
    thresholds=(RANGE, CLASSES),
    causes=("PF101", "PF107", "PF702"),
    causes_there=("PF301",),
)
