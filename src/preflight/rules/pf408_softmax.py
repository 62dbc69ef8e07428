"""PF408: probabilities where logits belong, and the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.levels import loss_facts, strength_of
from preflight.telemetry.recording import Recording

FLOOR = Threshold(
    "FLOOR",
    0.05,
    "of the loss of guessing that remains at the surest answer",
    "two softmaxes leave 60% for ten classes; a temperature inside the loss makes them harmless",
)
LINEAR = "end the head in a linear layer: this loss applies the {} itself"


def check(recording: Recording) -> Answer:
    """Judge the last operation of each head against what its loss applies itself."""
    facts = loss_facts(recording)
    if not any("output_shape" in fact for fact in facts.values()):
        raise MissingError("what the losses receive was not measured")
    found = [item for name, fact in facts.items() if (item := _judge(name, fact)) is not None]
    return max(found, key=lambda item: item.strength) if found else Clean()


def _judge(name: str, fact: Mapping[str, Any]) -> Finding | None:
    kind = fact.get("kind")
    if fact.get("softmax_units") == 1:
        return _one_unit(name, fact)
    if _over_the_batch(fact):
        return _finding(
            name,
            f"the softmax before '{name}' runs over the samples of a batch and not over the classes",
            Evidence("columns sum to one", "yes", "rows do"),
            "take the softmax over the axis of the classes",
        )
    if kind == "nll" and fact.get("columns_are_log_probabilities") and not fact.get("rows_are_log_probabilities"):
        return _finding(
            name,
            f"the log-softmax before '{name}' runs over the samples of a batch and not over the classes",
            Evidence("exponentials of a column sum to one", "yes", "those of a row do"),
            "take the log-softmax over the axis of the classes",
        )
    if kind == "nll" and not fact.get("rows_are_log_probabilities"):
        return _finding(
            name,
            f"'{name}' takes log-probabilities, and what it receives, from {fact['output_min']:.3g} to "
            f"{fact['output_max']:.3g}, are none: it can fall without end",
            Evidence("exponentials of a row sum to one", "no", "yes"),
            "end the head in log_softmax, or take cross-entropy, which applies it itself",
        )
    if kind in ("cross_entropy", "bce_logits"):
        return _twice(name, fact, str(kind))
    return None


def _one_unit(name: str, fact: Mapping[str, Any]) -> Finding:
    value = "0" if fact["activation"] == "log_softmax" else "1"
    return _finding(
        name,
        f"the {fact['activation']} before '{name}' is over one unit, so that the output is {value} for every input",
        Evidence("units that it is over", 1.0, 2.0),
        "end the head in a linear layer and take binary cross-entropy with logits, or give it two units",
    )


def _over_the_batch(fact: Mapping[str, Any]) -> bool:
    is_softmax = fact.get("activation") == "softmax"
    return is_softmax and bool(fact.get("columns_sum_to_one")) and not fact.get("rows_sum_to_one")


def _twice(name: str, fact: Mapping[str, Any], kind: str) -> Finding | None:
    """Probabilities as logits; a log-softmax before cross-entropy changes nothing and leaves no floor."""
    activation, reference = fact.get("activation"), fact.get("chance") or fact.get("constant")
    if activation is None and fact.get("rows_sum_to_one"):
        activation = "softmax"  # of a graph that does not tell
    elif activation not in ("softmax", "sigmoid", "log_softmax", "log_sigmoid", "hardsigmoid"):
        return None
    floor = fact.get("floor")
    share = floor / reference if floor is not None and reference else 1.0
    if share <= FLOOR.value:
        return None
    inside = "softmax" if kind == "cross_entropy" else "sigmoid"
    text = f"the {activation} before '{name}' comes on top of the {inside} that the loss applies itself"
    remains = f": at its surest it keeps {share:.0%} of the loss of guessing" if floor is not None else ""
    return _finding(
        name,
        text + remains,
        Evidence("loss that remains, over guessing", share, FLOOR.value),
        LINEAR.format(inside),
        strength_of(share, FLOOR.value),
    )


def _finding(name: str, message: str, evidence: Evidence, remedy: str, strength: float = 20.0) -> Finding:
    return Finding(ERROR, message, (evidence,), (Remedy(remedy),), where=name, strength=strength)


RULE = Rule(
    code="PF408",
    name="softmax-misused",
    title="Softmax or sigmoid is misused",
    detects="A softmax is over one unit or over the batch; a loss that applies softmax or sigmoid itself receives "
    "their result, and at the surest answer keeps more than FLOOR of the loss of guessing; a loss that takes "
    "log-probabilities receives something else. What a loss applies is found by calling it, not by its name.",
    matters="Over one unit the output is a constant. Applied twice, no answer can be sure and gradients are small.",
    fix="Give a loss with logits the output of a linear layer; for one unit take a sigmoid, inside the loss.",
    check=check,
    thresholds=(FLOOR,),
    causes=("PF102", "PF103", "PF202", "PF401", "PF402", "PF405", "PF410", "PF702"),
)
