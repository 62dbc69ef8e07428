"""PF309: inputs that were normalized twice."""

from __future__ import annotations

import math

from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule
from preflight.rules.fields import Field, fields
from preflight.rules.twice import BYTE, SHRUNK, is_scaled_twice, is_shrunk
from preflight.telemetry.recording import Recording


def check(recording: Recording) -> Answer:
    """Judge every input by what it was and by what is fed."""
    for field in fields(recording, "input"):
        if is_shrunk(field):
            return _shrunk(field)
        if is_scaled_twice(field):
            return _scaled(field)
    return Clean()


def _shrunk(field: Field) -> Finding:
    worst = max(field.amounts, key=lambda item: item["fed"]["std"])
    before, after = worst["std"], worst["fed"]["std"]
    return Finding(
        WARNING,
        f"the input '{field.name}' is normalized twice: it comes with a deviation of {before:.3g} (mean "
        f"{worst['mean']:.3g}), and the normalizer leaves {after:.3g} (mean {worst['fed']['mean']:.3g})",
        (Evidence("deviation after over deviation before", after / before, SHRUNK.value),),
        (Remedy("leave out the second normalization", {f"normalization.{field.name}": "none"}),),
        where=field.name,
        strength=1 + math.log10(SHRUNK.value * before / after) if after > 0 else 3.0,
    )


def _scaled(field: Field) -> Finding:
    largest = max(item["maximum"] for item in field.features)
    return Finding(
        WARNING,
        f"the input '{field.name}' was divided by 255 twice: its largest value is {largest:.3g}, 1/255",
        (Evidence("largest value", largest, 1 / BYTE),),
        (Remedy("divide by 255 once", field.remedy()),),
        where=field.name,
        strength=2.0,
    )


RULE = Rule(
    code="PF309",
    name="normalized-twice",
    title="An input is normalized twice",
    detects="Data that comes at an ordinary scale is made small by the configured normalizer, in every feature; or an "
    "image, or a wide field, holds nothing beyond 1/255, as bytes do that were divided by 255 twice.",
    matters="Inputs of a hundredth of the usual size hardly move the outputs: the network learns its biases and takes "
    "long to see the data.",
    fix="Normalize in one place. If the loader scales to 0..1 already, the statistics in the config have to be those "
    "of the scaled data.",
    check=check,
    thresholds=(SHRUNK,),
    causes=("PF102", "PF202", "PF401", "PF402", "PF410"),
)
