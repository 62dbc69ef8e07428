"""PF406: a loss that is summed over the batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules import pf201_lr_too_high
from preflight.rules.base import Rule, Threshold
from preflight.rules.ladder_facts import lowered_rate
from preflight.rules.levels import MIN_STEPS, all_stuck, loss_facts
from preflight.rules.predicates import are_decreasing, has_run_away
from preflight.rules.progress import first_movement, weight_norm
from preflight.telemetry.recording import Recording

NEAR = Threshold(
    "NEAR",
    0.1,
    "relative distance from a sum: the loss of a batch over the mean loss of its halves is 2, of its quarters 4",
    "exact by definition of a sum; losses over pairs within a batch grow by other ratios",
)
CONTRAST = Threshold(
    "CONTRAST",
    0.25,
    "times more for every halving of the batch than a sum has, where samples are contrasted with the others of a batch",
    "its mean grows as the logarithm of the batch size, from 32 samples to 64 by 0.2; a sum over pairs grows by 1",
)
OVERRULED = Threshold(
    "OVERRULED",
    0.9,
    "of the gradient that losses share is the summed one's: then the batch size decides what is learned",
    "for an even share as a mean, a batch of nine is enough",
)
CLIPPED = Threshold("CLIPPED", 0.9, "of the steps are clipped", "then clipping sets the step size, whatever the loss")


def is_summed(fact: Mapping[str, Any]) -> bool:
    """Whether a loss grows with the batch as a sum does, for halves and quarters alike."""
    scaling = fact.get("batch_scaling") or {}
    return bool(scaling) and all(
        -NEAR.value < float(ratio) / int(parts) - 1 < NEAR.value + CONTRAST.value * math.log2(int(parts))
        for parts, ratio in scaling.items()
    )


def check(recording: Recording) -> Answer:
    """A sum is a fault where it does harm: the gradient grows with the batch size, and with it the step."""
    facts = loss_facts(recording)
    if not any(fact.get("batch_scaling") for fact in facts.values()):
        raise MissingError("how the losses scale with the batch size was not measured")
    summed = [name for name, fact in facts.items() if is_summed(fact)]
    size = recording.setting("batch_size")
    if not summed or not isinstance(size, int) or size < 2:
        return Clean()
    harm = _harm(recording, len(summed) < len(facts))
    if not harm:
        return Clean()
    names = ", ".join(f"'{name}'" for name in summed)
    return Finding(
        WARNING,
        f"{names} {'is' if len(summed) == 1 else 'are'} summed over the batch, so that the gradient is {size} times "
        f"that of a mean, and {harm}",
        tuple(
            Evidence(f"loss '{name}' of a batch over the mean of its {parts} parts", float(ratio), int(parts), "x")
            for name in summed
            for parts, ratio in facts[name]["batch_scaling"].items()
        ),
        (
            Remedy("average the loss over the batch (reduction='mean')"),
            Remedy("lower the learning rate", lowered_rate(recording, size)),
        ),
        where=summed[0],
        strength=min(100.0, max(1.0, math.log2(size))),
    )


def _harm(recording: Recording, mixed: bool) -> str:
    """What goes wrong with the run, if anything: a learning rate that was chosen for the sum is none the worse."""
    losses = recording.column("losses", "total")
    if has_run_away(losses):
        return "the loss has run away"
    if len(losses) >= MIN_STEPS.value:
        try:
            if not are_decreasing([losses]) and all_stuck(recording):
                return "the loss is stuck at the level of guessing"
        except MissingError:
            pass
    if _oversteps(recording):
        return "steps of that size throw the weights about"
    share = _clipped(recording)
    if share > CLIPPED.value:
        return f"{share:.0%} of the steps are clipped"
    return "other losses are averaged beside it" if mixed and _overruled(recording) else ""


def _oversteps(recording: Recording) -> bool:
    """Whether the learning rate shows itself too high by steps that grow with the gradient.

    Adam moves a value by about the learning rate at most, whatever the scale of the loss (Kingma and Ba, 2015, section
    2.1), and RMSprop in step t by 10 / sqrt(t) times as much while its mean square fills: weights that moved farther
    within the first recorded steps did not train with either.
    """
    if not isinstance(pf201_lr_too_high.RULE.judge(recording), Finding):
        return False
    try:
        way = first_movement(recording) * weight_norm(recording)
        lr, steps = recording.setting("lr"), len(recording.column("losses", "total"))
        rows = len(recording.table("weight_deltas"))
        values = float(recording.column("parameters", "values").sum())
    except MissingError:
        return False
    first = steps / rows
    return isinstance(lr, int | float) and way > lr * math.sqrt(values) * max(first, 20 * math.sqrt(first))


def _clipped(recording: Recording) -> float:
    try:
        limit = recording.setting("clip_norm")
        norms = recording.column("gradient_norms", "overall")
        size = recording.setting("batch_size")
    except MissingError:
        return 0.0
    if not isinstance(limit, int | float) or not isinstance(size, int):
        return 0.0
    # Only what the mean would not have had clipped as well is the sum's doing.
    return float(((norms > limit) & (norms / size < limit)).mean()) if np.isfinite(norms).all() else 0.0


def _overruled(recording: Recording) -> bool:
    """Whether a summed loss makes nearly all of the gradient that it shares with averaged ones."""
    facts = loss_facts(recording)
    return any(is_summed(fact) and (fact.get("share") or 0.0) > OVERRULED.value for fact in facts.values())


RULE = Rule(
    code="PF406",
    name="summed-loss",
    title="The loss is summed over the batch",
    detects="The loss of a batch is the sum of its parts' losses, for halves and for quarters (where samples are "
    "contrasted with each other a little more), and the run shows harm: "
    "it runs away, is stuck, is clipped nearly always, overshoots (PF201) by steps that grow with the gradient, or "
    "averaged losses beside it are overruled.",
    matters="The gradient grows with the batch size, so that a learning rate, a clipping norm and a weight that suit a "
    "mean are too large by the batch size.",
    fix="Average over the batch. To keep the sum, divide the learning rate of plain SGD by the batch size.",
    check=check,
    thresholds=(NEAR, CONTRAST, OVERRULED, CLIPPED),
    causes=("PF101", "PF103", "PF105", "PF108", "PF201", "PF205", "PF401", "PF402", "PF403"),
)
