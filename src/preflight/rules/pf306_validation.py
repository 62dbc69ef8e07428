"""PF306: training and validation data that do not fit each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from preflight.core.finding import ERROR, NOTE, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.fields import Field, features, fields, several
from preflight.telemetry.recording import Recording

SHIFT = Threshold(
    "SHIFT",
    0.4,
    "largest difference of the two distribution functions (of class frequencies half the sum), beyond the noise",
    "two normal distributions a deviation apart are at 0.38; splits by person or by site are usually closer",
)
UNSEEN = Threshold("UNSEEN", 0.05, "of the validation labels are of classes that training never shows", "a rare class")
SHARED = Threshold(
    "SHARED",
    0.01,
    "of the validation samples have inputs that a training sample has to the last bit",
    "deduplicated public data sets have none; what repeats within the training data does not count",
)
MANY = Threshold(
    "MANY",
    0.1,
    "of the validation samples in training, too: a warning, and below it a note",
    "10% of CIFAR-100's test images are nearly, and without these its accuracies are 9 to 14% lower (Barz and Denzler "
    "2020)",
)
MOST = Threshold(
    "MOST", 0.5, "the same: an error", "such a score is of what was learned by heart more than of anything new"
)
# Inputs of so few different values meet by themselves.
MIN_DISTINCT, MIN_SHARED, MORE_THAN_REPEATED = 100, 5, 5.0


def is_shifted(field: Field, shift: float | None, noise: float | None) -> bool:
    """Whether a distance between the splits is no noise, and large."""
    return shift is not None and noise is not None and shift > max(SHIFT.value, noise)


def check(recording: Recording) -> Answer:
    """A split that is a copy first, then labels that training lacks, the feature that differs most, samples in both."""
    leak = _leak(recording)
    if isinstance(leak, Finding) and leak.severity == ERROR:
        return leak
    for field in fields(recording, "target"):
        unseen = field.facts.get("unseen")
        if unseen is not None and unseen > UNSEEN.value:
            return _unseen(field, unseen)
        if is_shifted(field, field.facts.get("shift"), field.facts.get("shift_noise")):
            return _shifted([f"{field.facts['role']} class frequencies of '{field.name}'"], field.facts, field.name)
    found = [
        (field, feature)
        for role in ("input", "target")
        for field, feature in features(recording, role)
        if is_shifted(field, feature.get("shift"), feature.get("shift_noise"))
    ]
    if found:
        found.sort(key=lambda item: -item[1]["shift"])
        field, worst = found[0]
        labels = [owner.label(feature) for owner, feature in found]
        names = [f"{field.facts['role']} {labels[0]}", *labels[1:]]
        return _shifted(names, worst, field.where(worst))
    return leak


def _unseen(field: Field, unseen: float) -> Finding:
    return Finding(
        WARNING,
        f"{unseen:.0%} of the validation labels of '{field.name}' are of classes that no training sample has",
        (Evidence("share of validation labels without training samples", unseen, UNSEEN.value),),
        (Remedy("split by a random permutation, or by one that keeps the classes' shares"),),
        where=field.name,
        strength=1 + math.log10(unseen / UNSEEN.value),
    )


def _shifted(names: list[str], found: Mapping[str, Any], where: str) -> Finding:
    """Of ``names``, the one that differs most comes first; ``found`` is of that one."""
    there = found.get("validation", {})
    text = ""
    if there:
        text = f": mean {there['mean']:.3g} against {found['mean']:.3g}, deviation {there['std']:.3g} against "
        text += f"{found['std']:.3g}"
    others = f"; so {'is' if len(names) == 2 else 'are'} {several(names[1:])}" if len(names) > 1 else ""
    return Finding(
        WARNING,
        f"the {names[0]} is distributed otherwise in the validation data than in training{text}{others}",
        (
            Evidence("distance of the distributions", found["shift"], SHIFT.value),
            Evidence("distance that chance explains", found["shift_noise"]),
        ),
        (Remedy("prepare both splits by the same code, with the training data's statistics, and split at random"),),
        where=where,
        strength=found["shift"] / SHIFT.value,
    )


def _leak(recording: Recording) -> Answer:
    overlap = recording.facts.get("overlap") or {}
    shared, count = overlap.get("shared", 0.0), overlap.get("samples", 0)
    natural = MORE_THAN_REPEATED * overlap.get("repeated", 0.0)
    if overlap.get("distinct", 0) < MIN_DISTINCT or shared * count < MIN_SHARED or shared <= max(SHARED.value, natural):
        return Clean()
    graver = next((limit for limit in (MOST, MANY) if shared > limit.value), None)
    return Finding(
        NOTE if graver is None else ERROR if graver is MOST else WARNING,
        f"{shared:.1%} of the {count} validation samples are training samples, too: the validation score does not tell "
        "how the model does on new data",
        (
            Evidence("share of validation samples that are in the training data", shared, (graver or SHARED).value),
            Evidence("share of training samples that repeat an earlier one", overlap["repeated"]),
        ),
        (Remedy("take the shared samples out of one of the splits, and split before anything is augmented"),),
        where="validation",
        strength=shared / (graver or SHARED).value,
    )


RULE = Rule(
    code="PF306",
    name="validation-mismatch",
    title="Validation data do not fit the training data",
    detects="A feature or target is distributed otherwise in the two splits (Kolmogorov-Smirnov distance, or the "
    "distance of class frequencies), beyond noise and by a size that matters; or validation labels are of classes that "
    "training lacks; or samples are in both splits more often than samples repeat within one.",
    matters="A score on other data than was trained for chooses the wrong settings; a score on training samples "
    "rewards memory.",
    fix="Prepare both splits with the same code and the statistics of the training data; split at random, or by "
    "person, site or time where that is what the model must bridge; remove duplicates.",
    check=check,
    thresholds=(SHIFT, UNSEEN, SHARED, MANY, MOST),
    causes=("PF504", "PF505", "PF507"),
)
