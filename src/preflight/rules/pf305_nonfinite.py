"""PF305: values in the data that are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.core.finding import ERROR, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule
from preflight.rules.fields import Field, fields, several
from preflight.telemetry.recording import Recording


def check(recording: Recording) -> Answer:
    """Values that are not finite and do harm: in a batch that was tried, or in a run that diverged."""
    diverged = recording.info.get("outcome", {}).get("status") == "diverged"
    found = [
        (field, flaw)
        for role in ("input", "target")
        for field in fields(recording, role)
        for flaw in field.facts["flaws"]
        if flaw["harm"] or (diverged and flaw["split"] == "training")
    ]
    if not found:
        return Clean()
    field, flaw = found[0]
    batch = "" if flaw["batch"] is None else f" (batch {flaw['batch']} of an epoch)"
    harm = "" if not flaw["harm"] else ", and a batch with it has a loss or a gradient that is not finite"
    return Finding(
        ERROR,
        f"in the {flaw['split']} data, {_label(field, flaw)} has {flaw['values']} values that are {flaw['what']}, in "
        f"the samples {several([str(number) for number in flaw['samples']], 5)}{batch}{harm}",
        tuple(
            Evidence(f"values of {_label(owner, item)} that are not finite", item["values"], 0) for owner, item in found
        ),
        (Remedy("drop these samples, or impute the values; if they are padding, name the mask that says so"),),
        where=str(flaw["feature"]),
    )


def _label(field: Field, flaw: Mapping[str, Any]) -> str:
    role, feature = field.facts["role"], flaw["feature"]
    return f"the {role} '{field.name}'" if feature == field.name else f"'{feature}' of the {role} '{field.name}'"


RULE = Rule(
    code="PF305",
    name="nonfinite-input",
    title="The data holds values that are not finite",
    detects="NaN or infinity in an input or a target of either split, outside the padding mask or harmful under it: a "
    "batch with such samples has a loss or a gradient that is not finite, or the recorded run diverged. Data in "
    "memory is searched whole, other data in the samples looked at. A model that fills them in is left alone.",
    matters="One NaN in a batch makes every weight NaN in the step after it, and no later step mends that.",
    fix="Drop or correct the samples that are named, impute what is missing, and name the mask of padded positions in "
    "model.fields.",
    check=check,
    causes=("PF101", "PF108"),
)
