"""PF405: a loss that starts where it should not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.levels import is_trivial, loss_facts, strength_of
from preflight.rules.start import is_from_checkpoint, trained_before
from preflight.telemetry.recording import Recording

ABOVE = Threshold(
    "ABOVE",
    2.0,
    "times the loss of guessing among the classes",
    "default initialisations start within 1.3 times ln(classes), since their outputs are small",
)
WIDE = Threshold(
    "WIDE",
    10.0,
    "times the loss of the best constant, where outputs spread by more than three times the targets' deviation",
    "a network without training that answers small numbers has the loss of a constant; raw targets are PF308",
)
BELOW = Threshold(
    "BELOW",
    0.5,
    "times the loss of guessing, with weights that are drawn anew",
    "random weights know nothing of the classes: to do better, the output must hold the target",
)
SPREAD = 3.0
FRESH = 0.9  # of the weights differ between two seeds: none of them was trained before
MARGIN_RANK = 0.2  # a head that is told the class and holds it back, as angular margins do, is meant to start high
RECOVERY_STEPS, RECOVERY_SHARE = 10, 0.05


def check(recording: Recording) -> Answer:
    """Judge the loss on the first batches; what is healed within a few steps is no fault."""
    facts = loss_facts(recording)
    if all(fact.get("initial") is None for fact in facts.values()):
        raise MissingError("no loss was measured before training")
    if is_from_checkpoint(recording):
        return trained_before("its losses are what was learned, and not what new weights give")
    found = [item for name, fact in facts.items() if (item := _judge(recording, name, fact)) is not None]
    return max(found, key=lambda item: item.strength) if found else Clean()


def _judge(recording: Recording, name: str, fact: Mapping[str, Any]) -> Finding | None:
    initial, chance = fact.get("initial"), fact.get("chance")
    if initial is None or is_trivial(fact):
        return None
    rank = fact.get("target_rank")
    if chance is not None:
        if initial > ABOVE.value * chance and not (rank is not None and rank < MARGIN_RANK):
            return None if _recovers(recording, name, chance) else _above(name, fact, chance, ABOVE)
        is_new = fact.get("fresh", 0.0) >= FRESH
        return _below(name, initial, chance, str(fact["chance_kind"])) if is_new and _is_below(fact, chance) else None
    constant, spread, target = float(fact["constant"]), fact.get("output_std"), fact.get("target_std")
    if fact.get("kind") != "fit" or spread is None or not target or constant <= 0:
        return None
    if initial > WIDE.value * constant and spread > SPREAD * target and not _recovers(recording, name, constant):
        return _above(name, fact, constant, WIDE)
    return None


def _is_below(fact: Mapping[str, Any], chance: float) -> bool:
    """Below chance and below the best constant as well: where classes are unequal the constant's loss is the lower."""
    return bool(fact["initial"] < BELOW.value * min(chance, float(fact["constant"])))


def _recovers(recording: Recording, name: str, level: float) -> bool:
    """Whether the loss comes down to ``level`` within a few steps."""
    try:
        losses = recording.column("losses", name)
    except MissingError:
        return False
    window = max(RECOVERY_STEPS, math.ceil(RECOVERY_SHARE * len(losses)))
    return len(losses) > 2 * RECOVERY_STEPS and bool(np.median(losses[window : 2 * window]) < 1.2 * level)


def _above(name: str, fact: Mapping[str, Any], level: float, limit: Threshold) -> Finding:
    initial = float(fact["initial"])
    what = str(fact["chance_kind"]) if limit is ABOVE else "the best constant output"
    deviation = fact.get("output_std")
    wide = "" if deviation is None else f"; the outputs have a deviation of {deviation:.3g}"
    return Finding(
        ERROR if initial > 10 * limit.value * level else WARNING,
        f"the loss '{name}' starts at {initial:.4g}, {initial / level:.3g} times the {level:.4g} of {what}{wide}",
        (Evidence(f"initial loss '{name}'", initial, limit.value * level, "loss"),),
        (
            Remedy("normalize the inputs, if they are raw (PF301)"),
            Remedy("scale the last layer's initial weights down: outputs should start near zero"),
        ),
        where=name,
        step=0,
        strength=strength_of(initial, limit.value * level),
    )


def _below(name: str, initial: float, chance: float, what: str) -> Finding:
    return Finding(
        WARNING,
        f"the loss '{name}' starts at {initial:.4g}, far below the {chance:.4g} of guessing ({what}), although the "
        "weights are random",
        (Evidence(f"initial loss '{name}'", initial, BELOW.value * chance, "loss"),),
        (Remedy("see whether the target reaches the output, or the loss is averaged over more than it sums"),),
        where=name,
        step=0,
        strength=strength_of(chance, initial / BELOW.value if initial > 0 else 0.0),
    )


RULE = Rule(
    code="PF405",
    name="initial-loss-off",
    title="The loss starts where it should not",
    detects="Before training, over several initialisations, a classification loss lies above ABOVE or below BELOW "
    "times that of guessing, or a regression loss above WIDE times the best constant's because the outputs spread too "
    "far; a loss that comes down within the first steps is left alone.",
    matters="Outputs that start large take many steps to unlearn, with gradients that are large or saturated; a loss "
    "that starts too low was leaked the target.",
    fix="Bring inputs to unit scale, and scale the initial weights of the last layer down. For a low one, look for the "
    "target among the inputs and for the reduction of the loss.",
    check=check,
    thresholds=(ABOVE, WIDE, BELOW),
    causes=("PF403",),
)
