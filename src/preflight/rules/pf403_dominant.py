"""PF403: one loss takes the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, NotApplicable, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.levels import (
    LEARNED,
    PRESSING,
    SATISFIED,
    all_stuck,
    is_trivial,
    loss_facts,
    satisfied_penalty,
    strength_of,
    training_constant,
)
from preflight.rules.start import is_from_checkpoint
from preflight.telemetry.recording import Recording

RATIO = Threshold(
    "RATIO",
    100.0,
    "times the gradient of another loss on the parameters they share, beyond what their weights intend",
    "losses that train well together differ by up to 30 times; a loss below a hundredth moves nothing that is shared",
)
SEVERE = 1e4
PENALTY = Threshold(
    "PENALTY",
    0.01,
    "of the pull of the losses beside it is what a penalty begins with, that a constant output satisfies",
    "1 over RATIO: it moves what is shared by next to nothing; autoencoders that train well have 0.002",
)

Facts = Mapping[str, Mapping[str, Any]]


def intended(weight: float, other: float) -> float:
    """How much smaller a weight below one makes a loss: somebody wanted it small. A raised weight is no such wish."""
    low = min(1.0, abs(other))
    return max(1.0, min(1.0, abs(weight)) / low) if low > 0 else float("inf")


def excess(facts: Facts, key: str, first: str, other: str) -> float | None:
    """Share ``key`` of loss ``first`` over that of ``other``, beyond what the weights intend."""
    shares = facts[first].get(key), facts[other].get(key)
    if shares[0] is None or not shares[1]:
        return None
    return float(shares[0] / shares[1]) / intended(float(facts[first]["weight"]), float(facts[other]["weight"]))


def check(recording: Recording) -> Answer:
    """Judge the shares of the weighted gradient, before training and a few steps later."""
    facts = loss_facts(recording)
    if len(facts) < 2:
        return NotApplicable("there is one loss only")
    pulling = {name: float(fact["share"]) for name, fact in facts.items() if fact.get("share")}
    if len(pulling) < 2:
        raise MissingError("no parameter is reached by more than one loss")
    first = max(pulling, key=pulling.__getitem__)
    starved = {}
    for name in pulling:
        ratio = excess(facts, "share", first, name)
        later = excess(facts, "share_later", first, name)
        if name != first and not is_trivial(facts[name]) and ratio is not None and not _is_learned(recording, name):
            starved[name] = ratio if later is None else min(ratio, later)
    wins = first == _winner(recording)
    limit = PRESSING.value if wins else RATIO.value
    starved = {name: ratio for name, ratio in starved.items() if ratio > limit}
    if not starved:
        return Clean()
    most = max(starved, key=starved.__getitem__)
    return Finding(
        ERROR if wins or starved[most] > SEVERE else WARNING,
        f"the loss '{first}' makes {pulling[first]:.3%} of the gradient that losses share, {starved[most]:.3g} times "
        f"that of '{most}'"
        + (", and the run ends with an output that is constant, which satisfies it" if wins else ""),
        tuple(
            Evidence(f"gradient of '{first}' over that of '{name}'", ratio, limit, "x")
            for name, ratio in starved.items()
        ),
        (_lowered(facts, first, tuple(starved)),),
        where=first,
        strength=strength_of(starved[most], limit),
    )


def _is_learned(recording: Recording, name: str) -> bool:
    """Whether a checkpoint has learned a loss: a gradient that is small by now did not keep it from that."""
    fact = loss_facts(recording)[name]
    initial, constant = fact.get("initial"), training_constant(fact)
    is_below = initial is not None and initial < constant - (1 - LEARNED) * abs(constant)
    return is_from_checkpoint(recording) and is_below


def _winner(recording: Recording) -> str | None:
    """The penalty for which a recorded run has given up everything else; None where there is none, or no run."""
    try:
        penalty = satisfied_penalty(recording)
        return penalty if penalty is not None and all_stuck(recording) else None
    except MissingError:
        return None


def _lowered(facts: Facts, first: str, starved: tuple[str, ...]) -> Remedy:
    """The weight at which the loss that dominates pulls as much as the starved ones do on average.

    One that a constant output satisfies wins any even contest: its pull grows with what the others learn.
    """
    pulls = [float(facts[name]["weighted_gradient_norm"]) for name in starved]
    equal = sum(pulls) / len(pulls) / float(facts[first]["gradient_norm"])
    others = ", ".join(map(repr, starved))
    if not is_trivial(facts[first]) or facts[first].get("constant") is None:
        weight = float(f"{equal:.3g}")
        return Remedy(f"weigh '{first}' by {weight:g}: then it pulls as much as {others}", {_setting(first): weight})
    weight = float(f"{min(1.0, PENALTY.value * equal):.3g}")
    text = (
        f"a constant output satisfies '{first}': weigh it by {weight:g}, so that it begins with a hundredth of the "
        f"pull of {others}, and raise it only as far as they still learn"
    )
    return Remedy(text, {_setting(first): weight})


def _setting(loss: str) -> str:
    return f"loss_weights.{loss}"


RULE = Rule(
    code="PF403",
    name="dominant-loss",
    title="One loss takes the gradient",
    detects="On the parameters that several losses reach, the weighted gradient of one is more than RATIO times that "
    "of another, before training and a few steps later, and no weight below one says that this is intended. "
    "At a checkpoint, a loss that is below the best constant's by a tenth is not starved. "
    "PRESSING times are enough of a penalty that a recorded run ends with satisfied, by a constant output.",
    matters="What is shared learns the one loss only; with clipping, the others do not even move by their own size.",
    fix="Set the weights so that the gradients are of one size, or bring the target of the large loss to unit scale. "
    "A penalty or divergence, which a constant output satisfies, begins far lower: with PENALTY of their pull.",
    check=check,
    thresholds=(RATIO, PRESSING, SATISFIED, PENALTY),
    causes=("PF105", "PF106", "PF401"),
)
