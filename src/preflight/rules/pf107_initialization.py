"""PF107: an initialisation that training cannot start from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.layers import trend_of
from preflight.rules.levels import loss_facts
from preflight.rules.start import is_from_checkpoint, trained_before
from preflight.telemetry.recording import Recording

VANISHED = Threshold(
    "VANISHED",
    3e-5,
    "of the first layer's: what is left of the signal in the last one",
    "a plain network of ten layers at PyTorch's own initialisation keeps 1e-4 and still trains with Adam; of twenty it "
    "keeps 1e-8 and does not",
)
GROWN = Threshold(
    "GROWN",
    100,
    "times the first layer's signal in the last one",
    "He et al. (2015): the factor per layer should be one; healthy networks stayed below 5",
)
TREND = Threshold("TREND", 0.9, "rank correlation with depth at least", "residual networks and norms break the trend")
GAIN = Threshold(
    "GAIN",
    10,
    "times the size of its inputs is what a layer's random weights give at first",
    "He et al. (2015) ask for 1.4 with ReLU, Glorot and Bengio (2010) for 1; layers of healthy runs have 0.6 and "
    "embeddings 1; beyond 10 a step of the usual size changes the layer by less than a tenth of what it should",
)
FRESH = 0.9  # of all weights differ between two seeds: they were not trained before
SYMMETRIC = Threshold(
    "SYMMETRIC", 0.5, "of a layer's units equal in weights and gradient", "random weights are never equal"
)
MIN_LAYERS = 4
REMEDY = "initialise the weights by the layer's width: He (kaiming) for ReLU, Xavier for tanh"
Facts = Sequence[Mapping[str, Any]]


def check(recording: Recording) -> Answer:
    """Look for units that are equal, weights that nothing moves or that are large, signals that change with depth."""
    parameters, activations = (_of(recording, name) for name in ("parameters", "activations"))
    if parameters is None and activations is None:
        raise MissingError("no probe has looked at 'parameters' or 'activations'")
    found = _symmetric(parameters or ()) or _stuck(parameters or ())
    if found is None and is_from_checkpoint(recording):
        return trained_before("what sizes its signals have was learned")
    found = found or (_large(parameters or (), activations or ()) if _is_fresh(recording) else None)
    for key, what in (("sample_std", "signal"), ("gradient_std", "gradient")):
        found = found or _with_depth(activations or (), key, what)
    return found or Clean()


def _of(recording: Recording, name: str) -> Facts | None:
    try:
        return list(recording.fact(name))
    except MissingError:
        return None


def _symmetric(parameters: Facts) -> Finding | None:
    """Layers most of whose units are copies of each other, and stay so."""
    shares = {
        str(item["name"]): float(item["symmetric_units"]) / item["shape"][0]
        for item in parameters
        if item.get("symmetric_units")
    }
    if not shares or max(shares.values()) < SYMMETRIC.value:
        return None
    name = max(shares, key=shares.__getitem__)
    return Finding(
        ERROR,
        f"{shares[name]:.0%} of the units of {name!r} have the same weights and the same gradient: they stay copies of "
        "one unit",
        (Evidence("share of units that equal another", shares[name], SYMMETRIC.value),),
        (Remedy(REMEDY),),
        where=name,
        strength=shares[name] / SYMMETRIC.value,
    )


def _stuck(parameters: Facts) -> Finding | None:
    """Weights that are all zero and hold each other there: none of the matrices gets a gradient."""
    matrices = [item for item in parameters if item["trained"] and len(item["shape"]) > 1 and item["has_gradient"]]
    zero = [item for item in matrices if item["weight_norm"] == 0]
    if len(zero) < 2 or any(item["gradient_norm"] != 0 for item in matrices):
        return None
    return Finding(
        ERROR,
        f"{len(zero)} of {len(matrices)} weight matrices are zero and no matrix gets a gradient",
        (Evidence("weight matrices that are zero", len(zero), unit=f"of {len(matrices)}"),),
        (Remedy(REMEDY),),
        where=str(zero[0]["name"]),
        strength=2.0,
    )


def _is_fresh(recording: Recording) -> bool:
    try:
        shares = [fact.get("fresh", 0.0) for fact in loss_facts(recording).values()]
    except MissingError:
        return False
    return min(shares, default=0.0) >= FRESH


def _large(parameters: Facts, activations: Facts) -> Finding | None:
    """Random weights that multiply the size of what comes in; a norm behind them hides that and slows them down."""
    kinds = {str(item["module"]): str(item["type"]) for item in activations if item.get("weighted")}
    gains = {}
    for item in parameters:
        module, _, last = str(item["name"]).rpartition(".")
        if last == "weight" and module in kinds and item["trained"] and item["weight_norm"] is not None:
            gains[str(item["name"])] = float(item["weight_norm"]) / math.sqrt(_units(item["shape"], kinds[module]))
    name = max(gains, key=gains.__getitem__, default="")
    if not name or gains[name] <= GAIN.value:
        return None
    others = sum(gain > GAIN.value for gain in gains.values()) - 1
    return Finding(
        WARNING,
        f"the random weights of {name!r}{f' and {others} more' if others else ''} begin large: they multiply the size "
        f"of what comes in by {gains[name]:.3g}",
        (Evidence(f"gain of {name!r}", gains[name], GAIN.value, "x"),),
        (Remedy(REMEDY),),
        where=name,
        strength=min(1e6, gains[name] / GAIN.value),
    )


def _units(shape: Sequence[int], kind: str) -> int:
    """By how many sums of weighted inputs the squares of a weight are shared; an embedding takes one row as it is."""
    if "Embedding" in kind:
        return math.prod(shape)
    return shape[1] if "Transpose" in kind and len(shape) > 2 else shape[0]


def _with_depth(activations: Facts, key: str, what: str) -> Finding | None:
    """A signal that shrinks or grows from layer to layer, or a gradient that does so on its way back."""
    passed = [item for item in activations if item.get("weighted") and item.get(key)]
    if len(passed) < MIN_LAYERS:
        return None
    ordered = passed if what == "signal" else passed[::-1]
    sizes = np.array([float(item[key]) for item in ordered])
    ratio, trend = float(sizes[-1] / sizes[0]), trend_of(sizes)
    vanishes, grows = ratio < VANISHED.value and trend <= -TREND.value, ratio > GROWN.value and trend >= TREND.value
    if not vanishes and not grows:
        return None
    limit = VANISHED.value if vanishes else GROWN.value
    first, last = ordered[0]["module"], ordered[-1]["module"]
    return Finding(
        WARNING,
        f"before training the {what} {'shrinks' if vanishes else 'grows'} with every layer: from {first!r} to {last!r} "
        f"by a factor of {ratio:.2g}",
        (
            Evidence(f"{what} of the last layer on its way over that of the first", ratio, limit),
            Evidence("layers", len(ordered)),
        ),
        (Remedy(REMEDY), Remedy("add normalization layers or residual connections")),
        where=str(last),
        strength=min(1e6, limit / ratio if vanishes else ratio / limit),
    )


RULE = Rule(
    code="PF107",
    name="bad-initialization",
    title="The initialisation does not suit the network",
    detects="Before training, the deviation of the units between samples or of their gradients shrinks or grows by a "
    "factor per layer, random weights multiply the size of their inputs by more than GAIN, units are copies of each "
    "other in weights and gradient, or weights of zero get no gradient. Of a checkpoint, only these last two count.",
    matters="A signal that is lost on its way tells the output nothing of the input; equal units learn equal things; "
    "zeros that hold each other at zero learn nothing.",
    fix="Initialise by the layer's width (He for ReLU, Xavier for tanh), and use normalization layers or residual "
    "connections in deep networks. A last layer of zeros is no fault: its own gradient is not zero.",
    check=check,
    thresholds=(VANISHED, GROWN, TREND, GAIN, SYMMETRIC),
    causes=("PF102", "PF103", "PF106", "PF202", "PF401", "PF403", "PF405", "PF410", "PF702"),
)
