"""PF301: inputs at a scale that no default initialisation is made for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.fields import Field, embedding, fields, is_in_trouble, several
from preflight.rules.pf302_heavy_tail import is_heavy
from preflight.rules.twice import is_normalized_twice
from preflight.telemetry.recording import Recording

RAW = Threshold(
    "RAW",
    70.0,
    "root mean square of a feature as the first layer gets it",
    "initialisations keep a variance of 1 (Glorot and Bengio 2010; He et al. 2015); ages, percentages and decibels, "
    "which train, stay below 60, raw bytes of images begin at about 80",
)
RAW_IMAGE = Threshold(
    "RAW_IMAGE", 10.0, "the same of an image", "pixels are scaled to a range of 1, 2 or a deviation of 1 everywhere"
)
MODERATE = Threshold(
    "MODERATE", 4.0, "the same, where the recorded run does not learn", "three deviations and a mean of 1 stay below"
)
TINY = Threshold(
    "TINY",
    0.03,
    "root mean square of a whole feature vector, below which weights of ordinary size see nothing",
    "vectors of unit length, the smallest in common use, have 1",
)
SMALL = Threshold("SMALL", 0.3, "the same, where the recorded run does not learn", "ten times TINY, below unit length")
BESIDE = Threshold(
    "BESIDE", 10.0, "deviations are a mean beside which a feature hardly varies", "a tenth: the rest is a bias"
)
# Scales of features that lie this far apart are not made equal by one normalization of their sum.
MAX_APART = 30.0
MAX_TINY_PEAK = 0.3


def level(field: Field) -> float:
    """Largest root mean square of a feature with a scale, as far as it reaches the first layer, over its limit."""
    if field.reach.get("norm_after") and _apart(field) <= MAX_APART:
        return 0.0
    limit = {True: RAW_IMAGE.value, False: RAW.value}
    sizes = [item["fed"]["rms"] / limit[field.kind(item) == "image"] for item in field.amounts]
    return float(max(sizes, default=0.0) * field.attenuation)


def is_tiny(field: Field, limit: float = TINY.value) -> bool:
    """Whether all of the field is below ``limit``, next to nothing, and the model leaves it so."""
    varies = any(item["fed"]["std"] > 0 for item in field.amounts)
    is_all = len(field.amounts) == len(field.features)
    if not (varies and is_all) or field.reach.get("norm_after") or field.facts["length"] >= limit:
        return False
    if max(item["fed"]["peak"] for item in field.features) > MAX_TINY_PEAK:
        return False  # sparse: what there is of it is large enough
    largest = field.reach.get("largest")
    return bool(largest is None or largest * math.sqrt(field.facts["width"]) < limit)


def hardly_varies(field: Field) -> bool:
    """Whether all that varies of the field is next to nothing beside its mean, and the model leaves it so."""
    features = field.amounts
    if not features or len(features) < len(field.features) or field.reach.get("norm_after"):
        return False
    varied = math.sqrt(field.facts["width"] * sum(item["fed"]["std"] ** 2 for item in features) / len(features))
    if not 0 < varied < TINY.value or max(map(_distance, features)) > MAX_TINY_PEAK:
        return False
    is_beside_mean = all(abs(item["fed"]["mean"]) > BESIDE.value * item["fed"]["std"] for item in features)
    varies = field.reach.get("varies")
    return bool(is_beside_mean and (varies is None or varies * math.sqrt(field.facts["width"]) < TINY.value))


def _distance(feature: Mapping[str, Any]) -> float:
    """Of the value farthest from the mean, in the units that are fed."""
    if not feature["std"]:
        return 0.0
    farthest = max(feature["maximum"] - feature["mean"], feature["mean"] - feature["minimum"])
    return float(farthest / feature["std"] * feature["fed"]["std"])


def check(recording: Recording) -> Answer:
    """Judge what reaches the first layer of every input; the worst field is named."""
    inputs = [field for field in fields(recording, "input") if not is_normalized_twice(field)]
    levels = {field.name: level(field) for field in inputs}
    worst = max(inputs, key=lambda field: levels[field.name], default=None)
    if worst is None:
        return Clean()
    tiny = next((field for field in inputs if is_tiny(field)), None)
    even = next((field for field in inputs if hardly_varies(field)), None)
    excess = levels[worst.name]
    if excess >= 1:
        return _too_large(worst, excess, 1.0, ERROR if excess >= 10 else WARNING)
    if tiny is not None:
        return _too_small(tiny, TINY.value)
    if even is not None:
        return _too_even(even)
    if not is_in_trouble(recording):
        return Clean()
    if excess > 0 and _size(worst) >= MODERATE.value:
        return _too_large(worst, excess, MODERATE.value / RAW.value, WARNING)
    if inputs and all(is_tiny(field, SMALL.value) for field in inputs):
        return _too_small(inputs[0], SMALL.value)
    return Clean()


def _size(field: Field) -> float:
    return float(max(item["fed"]["rms"] for item in field.amounts) * field.attenuation)


def _apart(field: Field) -> float:
    sizes = [item["fed"]["rms"] for item in field.amounts if item["fed"]["rms"] > 0]
    return float(max(sizes) / min(sizes)) if sizes else 1.0


def _too_large(field: Field, excess: float, limit: float, severity: str) -> Finding:
    worst = sorted(field.amounts, key=lambda item: -item["fed"]["rms"])
    shown = [
        f"{field.label(item)} has a mean of {item['fed']['mean']:.3g} and a deviation of {item['fed']['std']:.3g}"
        for item in worst
        if item["fed"]["rms"] >= MODERATE.value
    ]
    bound = RAW_IMAGE.value if field.kind(worst[0]) == "image" else RAW.value
    evidence = [
        Evidence(f"root mean square of {field.label(worst[0])}", worst[0]["fed"]["rms"], bound * limit),
        Evidence("largest over smallest feature", _apart(field)),
    ]
    if "largest" in field.reach:
        where = f"{field.reach['type']} '{field.reach['module']}'"
        evidence.append(Evidence(f"largest column that {where} gets of it", field.reach["largest"], bound * limit))
    return Finding(
        severity,
        f"the input is not normalized: {several(shown)}, where initialisations expect about 0 and 1",
        tuple(evidence),
        (_remedy(field, worst[0]),),
        where=field.where(worst[0]),
        strength=1 + math.log10(max(1.0, excess / limit)),
    )


def _too_small(field: Field, limit: float) -> Finding:
    size = field.facts["length"]
    return Finding(
        WARNING,
        f"the input '{field.name}' is next to nothing: its feature vectors have a root mean square of {size:.3g}, "
        "where initialisations expect about 1 per feature",
        (Evidence("root mean square of a feature vector", size, limit),),
        (_remedy(field, field.features[0]),),
        where=field.name,
        strength=1 + math.log10(limit / size) if size > 0 else 1.0,
    )


def _too_even(field: Field) -> Finding:
    worst = min(field.features, key=lambda item: item["fed"]["std"] / abs(item["fed"]["mean"]))
    mean, std = worst["fed"]["mean"], worst["fed"]["std"]
    return Finding(
        WARNING,
        f"the input '{field.name}' hardly varies: {field.label(worst)} has a deviation of {std:.3g} beside a mean of "
        f"{mean:.3g}, where initialisations expect about 1 and 0; data that were standardized twice look so",
        (
            Evidence(f"deviation of {field.label(worst)} over its mean", std / abs(mean), 1 / BESIDE.value),
            Evidence("largest deviation", max(item["fed"]["std"] for item in field.features), TINY.value),
        ),
        (_remedy(field, worst),),
        where=field.where(worst),
        strength=1 + math.log10(TINY.value / std) if 0 < std < TINY.value else 1.0,
    )


def _remedy(field: Field, worst: Mapping[str, Any]) -> Remedy:
    kind = field.kind(worst)
    settings = field.remedy("log_standardize" if is_heavy(field, worst) else "")
    is_whole = field.facts["dtype"].startswith(("int", "uint"))
    if kind == "identifier" and not settings:
        label, declare = field.label(worst), f"model.fields.{field.name}.kind: count"
        return Remedy(
            f"if {label} is a name for something, embed it: {embedding(worst)}; of a date, take the time since the "
            "first one, or its season. Where its size is what counts, "
            + (f"declare {declare}, and it can be normalized" if is_whole else "standardize it in the data")
        )
    text = f"normalize '{field.name}' with statistics of the training data"
    if kind == "identifier":
        text += f"; if {field.label(worst)} is a name for something, embed it or leave it out; of a date, take the "
        text += "time since the first one, or its season"
    if not settings and is_whole:
        text += f"; declare what its integers are in model.fields.{field.name}.kind"
    return Remedy(text, settings)


RULE = Rule(
    code="PF301",
    name="unnormalized-input",
    title="An input is not normalized",
    detects="Features with a scale reach the first layer with weights at many times the size that initialisations are "
    "made for, or far below it, or vary by next to nothing beside their mean. Flags and tokens have no scale, nor have "
    "identifiers that are embedded; a model that normalizes, rescales or embeds its input itself, and a normalization "
    "right after the first layer, are seen and respected, unless what it gets varies by less than its eps. Sizes in "
    "between count only where the recorded run does not learn.",
    matters="The first layer's outputs and gradients have the size of the inputs: units saturate or die, attention "
    "picks one position, and any learning rate is too high for the large features and too low for the small ones.",
    fix="Standardize every feature with the mean and deviation of the training data, kept with the model. Take the "
    "logarithm of heavy tails first (PF302) and embed identifiers (PF303).",
    check=check,
    thresholds=(RAW, RAW_IMAGE, MODERATE, TINY, SMALL, BESIDE),
    causes=(
        "PF101",
        "PF102",
        "PF103",
        "PF105",
        "PF107",
        "PF108",
        "PF201",
        "PF205",
        "PF401",
        "PF402",
        "PF405",
        "PF410",
        "PF702",
    ),
)
