"""PF409: regularization that outweighs the data."""

from __future__ import annotations

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, NotApplicable, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.levels import (
    MIN_STEPS,
    all_stuck,
    is_trivial,
    last_quarter,
    level_of,
    loss_facts,
    strength_of,
    training_constant,
)
from preflight.rules.start import is_from_checkpoint, trained_before
from preflight.telemetry.recording import Recording

DECAY = Threshold(
    "DECAY",
    0.2,
    "of what the gradient asks for, before training, is taken off by weight decay",
    "usual decays (1e-4 to 1e-2) lie at 0.1% to 10%; only a run that is stuck as well is blamed on it",
)
PENALTY = Threshold(
    "PENALTY",
    1.0,
    "times the gradient of the data: a penalty inside the losses asks for more",
    "by definition of outweighing",
)
LEFT = Threshold(
    "LEFT",
    0.7,
    "of the norm of the weights remains at the end of the run",
    "weights of networks that learn grow; under usual decays they lose a few percent in a short run",
)
OUTWEIGHS = Threshold(
    "OUTWEIGHS",
    1.0,
    "times what the gradient asks for is taken off: decay wins from the first step",
    "by definition of outweighing",
)
UNFITTED = Threshold(
    "UNFITTED",
    0.1,
    "of the best constant predictor's loss in training: above it, something keeps new weights from fitting",
    "networks of usual size fit their training data to less where nothing holds them back",
)
DROPPED = Threshold(
    "DROPPED",
    0.75,
    "of the units are dropped",
    "Srivastava et al., JMLR 2014, figure 9: the test error rises where less than 0.3 of the units are kept",
)
FRESH = 0.9  # of the weights differ between two seeds
USUAL_DECAY = 1e-4


def check(recording: Recording) -> Answer:
    """Judge weight decay where the run is stuck, and penalties inside the losses by their gradient."""
    found = recording.fact("regularization")
    penalty, decay = found.get("penalty_ratio"), found.get("decay_ratio")
    if penalty is None and decay is None:
        raise MissingError("how much decay and penalties weigh was not measured")
    if is_from_checkpoint(recording):
        return trained_before("the gradient that is left of the data is small beside any decay or penalty")
    if penalty is not None and penalty > PENALTY.value:
        return Finding(
            ERROR,
            f"the part of the losses that no data enters pulls {penalty:.3g} times as hard as the data does",
            (Evidence("gradient of the penalty over that of the data", float(penalty), PENALTY.value, "x"),),
            (Remedy("lower the penalty's factor by two decades at least"),),
            strength=strength_of(penalty, PENALTY.value),
        )
    if (dropped := _dropped(recording)) is not None:
        return dropped
    if decay is None or decay <= DECAY.value:
        return Clean()
    steps = len(recording.table("losses"))
    if steps < MIN_STEPS.value:
        return NotApplicable(f"{steps} steps are too few to tell: it takes {MIN_STEPS.value:g}")
    is_stuck, left = _is_stuck(recording), _weights_left(recording)
    if is_stuck:
        harm = "the loss stays where a constant output would leave it"
    elif left < LEFT.value:
        harm = f"{left:.0%} of the weights remain"
    elif decay > OUTWEIGHS.value and (name := _underfitted(recording)):
        harm = f"the training loss '{name}' is far from fitted"
    else:
        return Clean()
    return Finding(
        ERROR if is_stuck else WARNING,
        f"weight_decay={found['weight_decay']:g} takes off {decay:.0%} of what the gradient asks for, and {harm}",
        (
            Evidence("decay over the gradient, before training", float(decay), DECAY.value),
            Evidence("norm of the weights at the end over that before", left, LEFT.value),
        ),
        (Remedy(f"set weight_decay={USUAL_DECAY:g}", {"weight_decay": USUAL_DECAY}),),
        strength=strength_of(decay, DECAY.value),
    )


def _dropped(recording: Recording) -> Finding | None:
    """Dropout of most units, where the training loss is far from fitted."""
    try:
        share = float(recording.fact("modes", "dropout"))
        name = _underfitted(recording)
    except MissingError:
        return None
    if share <= DROPPED.value or not name:
        return None
    constant = training_constant(loss_facts(recording)[name])
    left = level_of(last_quarter(recording.column("losses", name))).mean / constant
    return Finding(
        WARNING,
        f"dropout takes away {share:.0%} of the units, and {left:.0%} of what a constant output gives is left of the "
        f"training loss '{name}'",
        (
            Evidence("share that is dropped", share, DROPPED.value),
            Evidence(f"training loss '{name}' over that of the best constant", left, UNFITTED.value),
        ),
        (Remedy("drop half of the units or less; 0.1 to 0.5 is usual"),),
        strength=strength_of(1 - DROPPED.value, 1 - share),
    )


def _is_stuck(recording: Recording) -> bool:
    try:
        return bool(all_stuck(recording))
    except MissingError:
        return False


def _underfitted(recording: Recording) -> str:
    """A loss of new weights whose late level is still a good part of the best constant's; empty where there is none.

    Weights that were trained before have small gradients, beside which any decay looks large.
    """
    facts = {name: fact for name, fact in loss_facts(recording).items() if not is_trivial(fact)}
    for name, fact in facts.items():
        late = level_of(last_quarter(recording.column("losses", name)))
        constant = training_constant(fact)
        if constant > 0 and fact.get("fresh", 0.0) >= FRESH and late.mean - 2 * late.error > UNFITTED.value * constant:
            return name
    return ""


def _weights_left(recording: Recording) -> float:
    """Norm of all weights at the end over that before training; NaN where it was not recorded."""
    try:
        first, last = (recording.column("parameters", f"{end}_weight_norm") for end in ("first", "last"))
    except MissingError:
        return float("nan")
    before = float(np.sqrt((first**2).sum()))
    return float(np.sqrt((last**2).sum())) / before if before > 0 else float("nan")


RULE = Rule(
    code="PF409",
    name="regularization-dominates",
    title="Regularization outweighs the data",
    detects="Before training, weight decay takes off more than DECAY of what the gradient asks for, and the run then "
    "stays at the loss of a constant, ends with less than LEFT of its weights, or, beyond OUTWEIGHS, with a training "
    "loss above UNFITTED of a constant's. Or dropout takes more than DROPPED of the units, and the training loss is "
    "above UNFITTED. Or the part of the losses that no data enters has a gradient PENALTY times "
    "that of the rest.",
    matters="Weights shrink faster than the data can build them up, and the output ends as a constant.",
    fix="Lower weight_decay, or the factor of the penalty, by decades; 1e-4 to 1e-2 is usual.",
    check=check,
    thresholds=(DECAY, OUTWEIGHS, LEFT, UNFITTED, PENALTY, DROPPED),
    causes=("PF102", "PF103", "PF201", "PF401", "PF402", "PF410", "PF702"),
)
