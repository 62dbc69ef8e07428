"""PF404: losses that work against each other."""

from __future__ import annotations

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, NotApplicable, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.levels import loss_facts, strength_of
from preflight.rules.predicates import are_decreasing
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
    cosines, spread = recording.fact("cosines"), recording.fact("cosine_spread")
    found = []
    for pair, mean in cosines.items():
        highest, batches = float(spread[pair]["highest"]), int(spread[pair]["batches"])
        if batches >= MIN_BATCHES and mean < COSINE.value and highest < HIGHEST.value:
            names = next((a, b) for a in facts for b in facts if f"{a}|{b}" == pair)
            norms = [float(facts[name]["weighted_gradient_norm"]) for name in names]
            if max(norms) < APART.value * min(norms) and not all(_falls(recording, name) for name in names):
                found.append((float(mean), highest, batches, names))
    if not found:
        return Clean()
    mean, highest, batches, (a, b) = min(found)
    return Finding(
        WARNING,
        f"the gradients of '{a}' and '{b}' point against each other: cosine {mean:.2f} over {batches} batches of "
        f"several initialisations, never above {highest:.2f}",
        (Evidence("mean cosine", mean, COSINE.value), Evidence("highest cosine", highest, HIGHEST.value)),
        (
            Remedy(f"see whether '{a}' and '{b}' ask for opposite outputs: the sign of a loss, swapped targets"),
            Remedy("give them heads or branches of their own, or drop the one that matters less"),
        ),
        where=f"{a}|{b}",
        strength=strength_of(mean, COSINE.value),
    )


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
    "any initialisation above HIGHEST, they are of comparable size, and not both losses fall.",
    matters="What one loss gains the other loses; their sum moves less than either would alone.",
    fix="Check signs and targets first. Where both are meant, separate what they share, or project conflicting "
    "gradients.",
    check=check,
    thresholds=(COSINE, HIGHEST, APART),
    causes=("PF401", "PF402"),
)
