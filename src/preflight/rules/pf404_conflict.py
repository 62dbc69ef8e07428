"""PF404: losses that work against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, NotApplicable, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.levels import MIN_STEPS, is_trivial, loss_facts, strength_of
from preflight.rules.predicates import are_decreasing
from preflight.rules.start import is_from_checkpoint, trained_before
from preflight.telemetry.recording import Recording

COSINE = Threshold(
    "COSINE",
    -0.5,
    "mean cosine of two gradients on shared parameters, over batches of several initialisations",
    "gradients below zero conflict (gradient surgery, arXiv 2001.06782); healthy pairs lie above -0.4 on average",
)
HIGHEST = Threshold("HIGHEST", -0.2, "cosine on the batch where it is highest", "a conflict of some batches is noise")
APART = Threshold(
    "APART", 10.0, "times: of gradients farther apart, the smaller one changes nothing", "gradients add up"
)
MIN_BATCHES = 4


def check(recording: Recording) -> Answer:
    """Judge every pair of losses; one whose both losses fall is in no conflict that matters."""
    facts = loss_facts(recording)
    if len(facts) < 2:
        return NotApplicable("there is one loss only")
    if is_from_checkpoint(recording):
        return trained_before(
            "where the sum of the losses is near its lowest, their gradients oppose each other anyway"
        )
    cosines, spread = recording.fact("cosines"), recording.fact("cosine_spread")
    batches = max((int(seen["batches"]) for seen in spread.values()), default=MIN_BATCHES)
    if batches < MIN_BATCHES:
        return too_few("what was measured of the gradients", batches, MIN_BATCHES, "batches")
    found = []
    for pair, mean in cosines.items():
        seen = spread[pair]
        names = next((a, b) for a in facts for b in facts if f"{a}|{b}" == pair)
        if _is_steady(mean, seen) or _remains(recording, names, mean, seen):
            norms = [float(facts[name]["weighted_gradient_norm"]) for name in names]
            if max(norms) < APART.value * min(norms) and not all(_falls(recording, name) for name in names):
                found.append((float(mean), names, seen))
    if not found:
        return Clean()
    mean, (a, b), seen = min(found, key=lambda item: item[0])
    highest, later = float(seen["highest"]), seen.get("later")
    is_steady = _is_steady(mean, seen)
    until = f"never above {highest:.2f}" if is_steady else f"and a few steps later {later:.2f} or less"
    mean_limit = COSINE.value if mean < COSINE.value else 0.0
    worst = Evidence("highest cosine", highest, HIGHEST.value)
    return Finding(
        WARNING,
        f"the gradients of '{a}' and '{b}' point against each other: cosine {mean:.2f} over {seen['batches']} batches "
        f"of several initialisations, {until}",
        (
            Evidence("mean cosine", mean, mean_limit),
            worst if is_steady else Evidence("highest cosine a few steps later", float(later), COSINE.value),
        ),
        (
            Remedy(f"see whether '{a}' and '{b}' ask for opposite outputs: the sign of a loss, swapped targets"),
            Remedy("give them heads or branches of their own, or drop the one that matters less"),
        ),
        where=f"{a}|{b}",
        strength=strength_of(mean, COSINE.value),
    )


def _is_steady(mean: float, seen: Mapping[str, Any]) -> bool:
    """Whether the gradients are against each other before training, on every batch."""
    return mean < COSINE.value and float(seen["highest"]) < HIGHEST.value


def _remains(recording: Recording, pair: tuple[str, str], mean: float, seen: Mapping[str, Any]) -> bool:
    """Whether they are a few steps later, when what both want of a new output, its offset, is no longer in the way.

    A penalty is then against any loss that learns. Where the gradients are not against each other before, it takes a
    run in which neither falls.
    """
    later = seen.get("later")
    facts = loss_facts(recording)
    if later is None or later >= COSINE.value or any(is_trivial(facts[name]) for name in pair):
        return False
    return mean < COSINE.value or (
        mean < 0 and _was_run(recording) and not any(_falls(recording, name) for name in pair)
    )


def _was_run(recording: Recording) -> bool:
    try:
        return len(recording.column("losses", "total")) >= MIN_STEPS.value
    except MissingError:
        return False


def _falls(recording: Recording, name: str) -> bool:
    try:
        values = recording.column("losses", name)
    except MissingError:
        return False
    return bool(np.isfinite(values).all()) and are_decreasing([values])


RULE = Rule(
    code="PF404",
    name="conflicting-losses",
    title="Losses work against each other",
    detects="The gradients of two losses on the parameters they share have a mean cosine below COSINE, on no batch of "
    "any initialisation above HIGHEST, they are of comparable size, and not both losses fall. Or, of two losses that "
    "ask something of the data, it is below COSINE a few steps later as well as before; where it is only below zero "
    "before, a run of MIN_STEPS has to show that neither falls. Not asked at a checkpoint.",
    matters="What one loss gains the other loses; their sum moves less than either would alone.",
    fix="Check signs and targets first. Where both are meant, separate what they share, or project conflicting "
    "gradients.",
    check=check,
    thresholds=(COSINE, HIGHEST, APART, MIN_STEPS),
    causes=("PF401", "PF402"),
)
