"""PF410: an output that does not depend on the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.levels import LEARNED, is_trivial, loss_facts
from preflight.rules.start import before_training
from preflight.telemetry.recording import Recording

SENSITIVITY = Threshold(
    "SENSITIVITY",
    1e-6,
    "change of the output, relative to it, where every sample gets another one's input",
    "the resolution of float32; networks that use their input lie above 1e-2",
)
HARDLY = Threshold(
    "HARDLY",
    1e-2,
    "change of the output with another input: less, with the weights it begins with, after some steps and with others "
    "at random, is hardly any",
    "networks that use their input lie above it; a bias that drowns the signal of a layer leaves 1e-4",
)
SAME = Threshold(
    "SAME",
    0.01,
    "relative difference of the losses that real and zeroed inputs lead to: as good as none",
    "the same seed and the same batches: what differs is the input",
)


def check(recording: Recording) -> Answer:
    """Judge the whole output first, then each input field."""
    used = recording.fact("inputs_used")
    sensitivity = used.get("sensitivity") or {}
    values = [float(sensitivity[key]) for key in ("initial", "later", "perturbed") if sensitivity.get(key) is not None]
    if len(values) < 3:
        raise MissingError("how the output depends on the input was not measured")
    initial, later, perturbed = values
    steps, when = int(used["steps"]), before_training(recording)
    if max(initial, later) < SENSITIVITY.value:
        real, zeroed = used.get("real"), used.get("zeroed")
        always = perturbed < SENSITIVITY.value
        if always or (real is not None and zeroed is not None and abs(real - zeroed) <= SAME.value * abs(real)):
            return _ignored(
                later, _tried(steps, when) if always else f"{when} and after {steps} steps", always, real, zeroed
            )
    if max(initial, later, perturbed) < HARDLY.value and _is_lost(recording, used):
        return _drowned(initial, later, steps, when)
    unused = [name for name, value in (used.get("fields") or {}).items() if value < SENSITIVITY.value]
    if unused and len(used["fields"]) > len(unused):
        return _field_ignored(unused)
    blind = [name for name, value in (used.get("losses") or {}).items() if value < SENSITIVITY.value]
    blind = [name for name in blind if _is_fitted(recording, name)]
    return _head_ignores(blind, _tried(steps, when)) if blind else Clean()


def _is_lost(recording: Recording, used: Mapping[str, Any]) -> bool:
    """Whether the input made no difference to short trainings, nor a whole run much of one."""
    real, zeroed = used.get("real"), used.get("zeroed")
    is_same = real is not None and zeroed is not None and abs(real - zeroed) <= SAME.value * abs(real)
    return is_same and recording.info.get("score") is not None and not recording.score < LEARNED


def _drowned(initial: float, later: float, steps: int, when: str) -> Finding:
    return Finding(
        WARNING,
        f"the output hardly depends on the input: with another one it changes by {initial:.2g} of its size {when} "
        f"and by {later:.2g} after {steps} steps",
        (Evidence("relative change of the output with another input", max(initial, later), HARDLY.value),),
        (Remedy("see where the signal is lost: a large bias or offset that it is added to, a saturated layer"),),
        strength=min(10.0, HARDLY.value / max(initial, later, 1e-6)),
    )


def _tried(steps: int, when: str) -> str:
    """Which weights were tried, in words: others than these may use the input."""
    return (
        f"{when}, after {steps} steps and with random numbers added to the weights, as large as weights usually begin"
    )


def _is_fitted(recording: Recording, name: str) -> bool:
    """Whether a loss compares an output with a target that a constant does not settle: no penalty, no temperature."""
    fact = loss_facts(recording).get(name, {})
    return fact.get("target") is not None and not is_trivial(fact)


def _head_ignores(blind: list[str], tried: str) -> Finding:
    names = ", ".join(f"'{name}'" for name in blind)
    return Finding(
        WARNING,
        f"what the loss{'es' if len(blind) > 1 else ''} {names} take{'' if len(blind) > 1 else 's'} of the output is "
        f"the same for every input, {tried}",
        tuple(
            Evidence(f"relative change of what '{name}' takes, with another input", 0.0, SENSITIVITY.value)
            for name in blind
        ),
        (Remedy("see what that head is given in forward(): it has to be the features of the sample"),),
        where=blind[0],
    )


def _ignored(later: float, why: str, always: bool, real: float | None, zeroed: float | None) -> Finding:
    losses = (
        ""
        if real is None or zeroed is None
        else f"; zeroed inputs lead to a loss of {zeroed:.4g}, real ones {real:.4g}"
    )
    return Finding(
        ERROR,
        f"the output is the same for every input, {why}{losses}",
        (Evidence("relative change of the output with another input", later, SENSITIVITY.value),),
        (
            Remedy(
                "see where the input gets lost: a softmax over one unit (PF408), a dead or saturated layer, forward()"
            ),
        ),
        strength=100.0 if always else 10.0,
    )


def _field_ignored(unused: list[str]) -> Finding:
    names = ", ".join(f"'{name}'" for name in unused)
    return Finding(
        WARNING,
        f"the output does not depend on the input {names}",
        tuple(
            Evidence(f"relative change of the output with another '{name}'", 0.0, SENSITIVITY.value) for name in unused
        ),
        (Remedy(f"use {names} in forward(), or leave it out of model.inputs"),),
        where=unused[0],
    )


RULE = Rule(
    code="PF410",
    name="ignores-input",
    title="The output does not depend on the input",
    detects="With another sample's input the output changes by less than SENSITIVITY, before training and after a few "
    "steps, and zeroed inputs train to a loss that differs by less than SAME, or random numbers added to the weights, "
    "as large as weights usually begin, change nothing either; or it changes by less than HARDLY whichever of these "
    "weights it has, and a run learned next to nothing. An input field, or a loss's own part of the output, that does "
    "not count with any of these weights is named.",
    matters="Such a network answers a constant, and no learning rate makes it learn more.",
    fix="Follow the input through forward() and see where two samples become equal.",
    check=check,
    thresholds=(SENSITIVITY, HARDLY, SAME),
    causes=("PF103", "PF104", "PF401", "PF402"),
)
