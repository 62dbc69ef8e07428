"""PF702: activations that are dead or saturated before training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.start import before_training, is_from_checkpoint
from preflight.telemetry.recording import Recording

DEAD = Threshold(
    "DEAD",
    0.8,
    "of a layer's units are zero for every sample",
    "in plain networks of six to twenty layers at PyTorch's own initialisation up to 0.6 are",
)
SATURATED = Threshold(
    "SATURATED",
    0.5,
    "of a layer's values lie where the activation is flat",
    "with inputs of unit scale and Xavier's initialisation 0.04 do (Glorot and Bengio 2010)",
)
SPREAD = Threshold(
    "SPREAD",
    0.2,
    "deviation of the values of a sigmoid at least",
    "a gate or an output whose bias is meant to close it lies at one end, saturated units lie at both",
)
MIN_UNITS, MIN_SAMPLES = 8, 32
RECTIFIERS = ("ReLU", "ReLU6")


def check(recording: Recording) -> Answer:
    """Judge every activation that the probe saw; the worst one is named."""
    seen = recording.fact("activations")
    found = [item for item in seen if item["samples"] >= MIN_SAMPLES]
    if seen and not found:
        return too_few("the probed batch", max(int(item["samples"]) for item in seen), MIN_SAMPLES, "samples")
    dead = {str(item["module"]): _dead(item) for item in found}
    # What gates and outputs of a trained network are sure of, they say at the ends of their range.
    saturated = {} if is_from_checkpoint(recording) else {str(item["module"]): _saturated(item) for item in found}
    for shares, limit, what in ((dead, DEAD, "dead"), (saturated, SATURATED, "saturated")):
        beyond = {name: share for name, share in shares.items() if share > limit.value}
        if beyond:
            return _finding(beyond, limit, what, before_training(recording))
    return Clean()


def _dead(item: Mapping[str, Any]) -> float:
    is_rectifier = item["type"] in RECTIFIERS and item["units"] >= MIN_UNITS
    return item["dead_units"] / item["units"] if is_rectifier else 0.0


def _saturated(item: Mapping[str, Any]) -> float:
    is_open = "Sigmoid" in item["type"] and item.get("std", 0.0) < SPREAD.value
    return 0.0 if is_open else float(item.get("saturated", 0.0))


def _finding(beyond: Mapping[str, float], limit: Threshold, what: str, when: str) -> Finding:
    name = max(beyond, key=beyond.__getitem__)
    share = beyond[name]
    words = "units give zero for every sample" if what == "dead" else "values lie where the function is flat"
    others = f"; so do {len(beyond) - 1} more activations" if len(beyond) > 1 else ""
    remedy = (
        "start biases at zero, or use LeakyReLU or GELU"
        if what == "dead"
        else "normalize the inputs, and initialise the weights by the layer's width"
    )
    return Finding(
        ERROR if share > 0.95 else WARNING,
        f"{when} {share:.0%} of the {words} in {name!r}{others}",
        (Evidence(f"share of {what} {'units' if what == 'dead' else 'values'}", share, limit.value),),
        (Remedy(remedy),),
        where=name,
        strength=share / limit.value,
    )


RULE = Rule(
    code="PF702",
    name="dead-activations",
    title="Activations are dead or saturated",
    detects="Before training, most units of a ReLU are zero for every sample looked at, or most values of a tanh or "
    "sigmoid lie where it is flat. At a checkpoint only the first counts.",
    matters="What is flat passes on no gradient: these units do not learn, nor does what lies before them.",
    fix="Normalize the inputs (PF301), initialise weights by the layer's width and biases at zero (PF107), or use an "
    "activation that is flat nowhere.",
    check=check,
    thresholds=(DEAD, SATURATED, SPREAD),
    causes=("PF102", "PF103", "PF202", "PF410"),
)
