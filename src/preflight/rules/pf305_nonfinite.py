"""PF305: values in the data that are missing: not finite, or a number that stands for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.fields import Field, fields, several
from preflight.rules.pf301_unnormalized import RAW
from preflight.rules.pf301_unnormalized import RULE as UNNORMALIZED
from preflight.rules.pf302_heavy_tail import KEPT
from preflight.telemetry.recording import Recording

APART = Threshold(
    "APART",
    20.0,
    "deviations of all others from their median to a number that stands for something else, as they are fed",
    "of a value that one in twenty samples have, at that distance, comes 95% of the variance; -10 beside standardized "
    "amounts is in common use",
)
NOTICED = Threshold(
    "NOTICED", 0.01, "of the values equal it", "what is rarer is seldom in a batch, and shown with the ranges only"
)


COMMON = 0.1  # of the values: a code is among those of any batch
SEVERE = 10.0  # times RAW, from which raw inputs are an error


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
        return _coded(recording) or Clean()
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


def _coded(recording: Recording) -> Finding | None:
    """Numbers that stand for something else, and that the model gets as amounts; the farthest is named first."""
    found = [
        (field, feature, feature["code"])
        for field in fields(recording, "input")
        for feature in field.amounts
        if _is_taken_for_amount(field, feature)
    ]
    if not found:
        return None
    found.sort(key=lambda item: -item[2]["apart"])
    field, worst, code = found[0]
    value, more = f"{code['value']:.6g}", len(found) - 1
    return Finding(
        ERROR if code["rms"] >= SEVERE * RAW.value else WARNING,
        f"of the input {field.label(worst)}, {code['share']:.1%} of the values are {value} exactly, while all others "
        f"lie between {code['low']:.4g} and {code['high']:.4g}: a code, as of a missing value, and no amount"
        + (f"; and {more} more feature{'s' if more > 1 else ''} with such a value" if more else ""),
        tuple(
            Evidence(f"distance of {item['value']:.6g} in {owner.label(feature)}", item["apart"], APART.value, "std")
            for owner, feature, item in found
        ),
        (
            Remedy(
                f"replace {value} by the mean or median of the others ({worst['mean']:.3g}, "
                f"{worst['quantiles']['0.5']:.3g}) before anything is normalized, and give the model an input that "
                "says where it was; if it is padding, name the mask that says so"
            ),
        ),
        where=field.where(worst),
        strength=1 + math.log10(code["apart"] / APART.value),
        explains=("PF301", *UNNORMALIZED.causes),
    )


def _is_taken_for_amount(field: Field, feature: Mapping[str, Any]) -> bool:
    """Whether a code is far off as it is fed, and nothing shows that the model takes it out."""
    code = feature.get("code")
    if code is None or code["share"] < NOTICED.value or code["apart"] < APART.value or field.reach.get("norm_after"):
        return False
    largest = field.reach.get("largest")
    is_seen = largest is None or code["share"] < COMMON or largest >= KEPT.value * code["rms"]
    return is_seen and not _is_taken_out(field, code["value"])


def _is_taken_out(field: Field, value: float) -> bool:
    """Whether what the model's first layer gets of a feature with this code has lost its tail: of one that shows it."""
    seen = field.reach.get("features", {})
    coded = [item for item in field.features if item.get("code", {}).get("value") == value]
    tails = [seen[item["name"]] for item in coded if seen.get(item["name"], {}).get("fed_tail")]
    return any(item.get("tail", item["fed_tail"]) < KEPT.value * item["fed_tail"] for item in tails)


RULE = Rule(
    code="PF305",
    name="nonfinite-input",
    title="The data holds values that are missing or not finite",
    detects="NaN or infinity in an input or a target of either split, outside the padding mask or harmful under it: a "
    "batch with such samples has a loss or a gradient that is not finite, or the recorded run diverged. Data in "
    "memory is searched whole, other data in the samples looked at. A model that fills them in is left alone. Or a "
    "number that stands for something else, such as -9999 for what is missing, is fed as an amount: a value that many "
    "samples equal exactly, farther from all others than these are from each other.",
    matters="One NaN in a batch makes every weight NaN in the step after it, and no later step mends that. "
    "A code among amounts takes the variance: beside it all others are alike, and its samples dominate gradients.",
    fix="Drop or correct the samples that are named, impute what is missing, with an input that tells where, and name "
    "the mask of padded positions in model.fields.",
    check=check,
    thresholds=(APART, NOTICED),
    causes=("PF101", "PF108"),
)
