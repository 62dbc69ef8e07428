"""PF407: a head whose range does not reach the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.levels import loss_facts, strength_of
from preflight.rules.start import before_training
from preflight.telemetry.recording import Recording

FLOOR = Threshold(
    "FLOOR",
    0.05,
    "of the best constant predictor's loss that no weights can take away, since the head bounds its output",
    "less than the noise of most validation sets",
)
OUTSIDE = Threshold("OUTSIDE", 0.01, "of the target's values lie out of the head's range", "a few are outliers")
CLASSIFYING = ("cross_entropy", "bce_logits")
# Applied once outside and once inside the loss: PF408.
PROBABILITIES = ("softmax", "sigmoid", "log_softmax", "log_sigmoid", "hardsigmoid")


def check(recording: Recording) -> Answer:
    """Judge what the last operation of each head allows against what its loss asks for."""
    facts = loss_facts(recording)
    if not any("output_shape" in fact for fact in facts.values()):
        raise MissingError("what the losses receive was not measured")
    found = [
        item for name, fact in facts.items() if (item := _judge(name, fact, before_training(recording))) is not None
    ]
    return max(found, key=lambda item: (item.severity == ERROR, item.strength)) if found else Clean()


def _judge(name: str, fact: Mapping[str, Any], when: str) -> Finding | None:
    activation, kind = fact.get("activation"), fact.get("kind")
    if activation is None or (kind in CLASSIFYING and activation in PROBABILITIES):
        return None
    floor, reference = fact.get("floor"), fact.get("constant") or fact.get("chance")
    share = floor / reference if floor is not None and reference and reference > 0 else 0.0
    if kind == "fit" and share > FLOOR.value and fact.get("target_outside", 0.0) > OUTSIDE.value:
        return _cannot_reach(name, fact, share)
    if kind in CLASSIFYING and share > FLOOR.value:
        return _bounded_logits(name, fact, share)
    if kind == "cross_entropy" and activation == "relu":
        return _cut_logits(name, fact, when)
    return None


def _range(fact: Mapping[str, Any]) -> str:
    return f"{fact['activation']}, which gives {fact['low']:g} to {fact['high']:g}"


def _share(value: float) -> str:
    """``99.6%``: never 100% of what is not all of it."""
    texts = [f"{value:.{digits}%}" for digits in range(4)]
    return next((text for text in texts if value >= 1 or float(text[:-1]) < 100), f"nearly {texts[0]}")


def _cannot_reach(name: str, fact: Mapping[str, Any], share: float) -> Finding:
    return Finding(
        ERROR,
        f"the head of '{name}' ends in {_range(fact)}, and {_share(fact['target_outside'])} of the targets, which go "
        f"from {fact['target_min']:.4g} to {fact['target_max']:.4g}, lie outside",
        (
            Evidence("share of the targets out of range", float(fact["target_outside"]), OUTSIDE.value),
            Evidence("loss that remains, over the best constant's", share, FLOOR.value),
        ),
        (Remedy(f"end the head in a linear layer, without {fact['activation']}, or scale the targets into its range"),),
        where=name,
        strength=strength_of(share, FLOOR.value),
    )


def _bounded_logits(name: str, fact: Mapping[str, Any], share: float) -> Finding:
    return Finding(
        ERROR,
        f"'{name}' takes logits, and its head ends in {_range(fact)}: at its surest it still has "
        f"{fact['floor']:.3g} of loss, {share:.0%} of the best constant's",
        (Evidence("loss that remains, over the best constant's", share, FLOOR.value),),
        (Remedy(f"end the head in a linear layer, without {fact['activation']}"),),
        where=name,
        strength=strength_of(share, FLOOR.value),
    )


def _cut_logits(name: str, fact: Mapping[str, Any], when: str) -> Finding:
    zeros = float(fact.get("output_zeros", 0.0))
    return Finding(
        WARNING,
        f"the logits of '{name}' pass a ReLU: {zeros:.0%} of them are zero {when} and get no gradient, and "
        "no class can be ruled out",
        (Evidence("share of the logits that are cut to zero", zeros),),
        (Remedy("end the head in a linear layer, without ReLU"),),
        where=name,
    )


RULE = Rule(
    code="PF407",
    name="output-range",
    title="The head cannot reach the target",
    detects="The last operation of the head bounds its output (read off the graph), and the targets lie beyond: more "
    "than OUTSIDE of them, and the loss that the bounds leave exceeds FLOOR. For losses that take logits, the loss of "
    "the surest right answer within the bounds is held against the same limit, and a ReLU before cross-entropy counts.",
    matters="No weights reach such targets, and where the target is the input itself, normalizing what goes in alone "
    "(PF301) leaves them there. The loss stays high, and where the bound is flat there is no gradient "
    "either.",
    fix="End the head in a linear layer; a bounded head needs targets that are scaled into its range.",
    check=check,
    thresholds=(FLOOR, OUTSIDE),
    causes=("PF102", "PF103", "PF401", "PF402", "PF410", "PF702"),
)
