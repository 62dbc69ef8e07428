"""PF302: inputs with a tail that wants a logarithm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.fields import Field, features, several
from preflight.telemetry.recording import Recording

TAIL = Threshold(
    "TAIL",
    50.0,
    "mean distances of the nearest 95% from the median that one value in a thousand lies beyond",
    "4 for a normal distribution, 11 for an exponential one, 26 for a lognormal one of shape 1, which trains well",
)
CROWDED = Threshold(
    "CROWDED",
    0.05,
    "deviations within which half of the values lie, as they are fed",
    "1.35 for a normal distribution, 0.69 for an exponential one, 0.43 for a lognormal one of shape 1; to a layer that "
    "sees deviations of 1 these samples are one value",
)
KEPT = Threshold(
    "KEPT", 0.5, "of its tail that reaches the first layer of the model", "a logarithm in the model leaves far less"
)


def is_heavy(field: Field, feature: Mapping[str, Any]) -> bool:
    """Whether the model gets the feature with its tail."""
    fed = feature["fed"]
    is_crowded = 0 < fed.get("half", 1.0) <= CROWDED.value
    if field.kind(feature) != "heavy_tailed" or not (fed["tail"] >= TAIL.value or is_crowded):
        return False
    seen = field.reach.get("features", {}).get(feature["name"], {})
    return not seen.get("fed_tail") or seen.get("tail", seen["fed_tail"]) >= KEPT.value * seen["fed_tail"]


def check(recording: Recording) -> Answer:
    """Judge every input feature as it is fed; the one with the longest tail is named first."""
    found = [(field, feature) for field, feature in features(recording, "input") if is_heavy(field, feature)]
    if not found:
        return Clean()
    found.sort(key=lambda item: -_strength(item[1]))
    field, worst = found[0]
    tail, quantiles = worst["fed"]["tail"], worst["quantiles"]
    half = worst["fed"].get("half")
    names = several([owner.label(feature) for owner, feature in found])
    return Finding(
        WARNING,
        f"the input {names} is heavy-tailed: of {worst['name']} the median is {quantiles['0.5']:.3g}, one value "
        f"in a hundred lies beyond {quantiles['0.99']:.3g}, one in a thousand beyond {quantiles['0.999']:.3g}",
        (
            Evidence(
                f"tail of {field.label(worst)}, over the mean distance of the usual values", tail, TAIL.value, "x"
            ),
            *([Evidence("deviations that half of the values lie within", half, CROWDED.value)] if half else []),
            Evidence("largest value", worst["maximum"]),
        ),
        (Remedy(f"take the logarithm of {names} and standardize it", field.remedy("log_standardize")),),
        where=field.where(worst),
        strength=_strength(worst),
    )


def _strength(feature: Mapping[str, Any]) -> float:
    """How far the tail lies beyond its limit, or the crowd within its own."""
    tail, half = feature["fed"]["tail"], feature["fed"].get("half")
    return float(max(tail / TAIL.value, 1 + math.log10(CROWDED.value / half) if half else 0.0))


RULE = Rule(
    code="PF302",
    name="heavy-tail",
    title="An input has a heavy tail",
    detects="A feature's kind is heavy-tailed and, as it is fed, one value in a thousand lies many mean distances from "
    "the median, or half of the values lie within a small part of a deviation. A logarithm in the normalizer or in the "
    "model itself is seen.",
    matters="Rare values a hundred times the usual ones dominate the deviation, so that standardizing presses all "
    "others together, and single samples dominate gradients.",
    fix="Take log(1 + |x| / s) with the sign of x before standardizing, s being a small value of the feature; "
    "preflight's log_standardize, or per_kind where a field mixes kinds, does.",
    check=check,
    thresholds=(TAIL, CROWDED, KEPT),
    # What mends a tail also mends the size that it gives the input; z-scoring alone would mend the size only.
    causes=("PF101", "PF105"),
    causes_there=("PF301",),
)
