"""PF505: the same batch, other losses in training and in evaluation mode."""

from __future__ import annotations

import math

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, NOTE, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.levels import constant_total, last_quarter
from preflight.rules.start import is_from_checkpoint
from preflight.telemetry.recording import Recording

GAP = Threshold(
    "GAP",
    0.5,
    "of the first loss is what evaluation mode adds to the loss of the same batch",
    "statistics that have settled add a few percent; batches that differ in kind add more",
)
RATIO = Threshold("RATIO", 2.0, "times the loss in training mode", "a gap within the loss's own size is no fault")
REPEAT = Threshold(
    "REPEAT",
    0.01,
    "of the loss is what two passes in evaluation mode differ by",
    "nothing is random in evaluation mode; the order of sums on a GPU changes 1e-6",
)
NOISE = Threshold(
    "NOISE",
    1e-5,
    "of the loss, the same where values are known to be dropped at random",
    "ten times what the order of sums changes; how much dropping changes a loss says how far a model is trained: 0.6% "
    "where its outputs have no size yet",
)
OLD = Threshold(
    "OLD",
    0.1,
    "of the running statistics are still those of before training, at the end of the long run",
    "(1 - momentum)**steps, by definition of the running mean; usual momenta of 0.1 and 0.01 leave 1e-46 and 4e-5 "
    "after 1000 steps",
)
APART = Threshold(
    "APART", 2.0, "times the late training loss is the validation loss", "a gap within the loss's own size is no fault"
)


def check(recording: Recording) -> Answer:
    """Judge the mode that a loop evaluates in, and the losses of one batch, after the statistics had time to settle."""
    if (found := _never_switched(recording)) is not None:
        return found
    if (recording.facts.get("modes") or {}).get("eval_still"):
        return _still(recording)
    train, evaluated = (float(recording.fact("modes", name)) for name in ("train_loss", "eval_loss"))
    first, again = (float(recording.fact("modes", name)) for name in ("first_loss", "eval_again"))
    drops = recording.facts["modes"].get("eval_drops")
    limit = NOISE.value if drops else REPEAT.value
    if abs(again - evaluated) > limit * max(abs(evaluated), abs(again)):
        return _sampled(evaluated, again) if drops is False else _random(evaluated, again, limit)
    if not math.isfinite(train) or train - first > abs(first):
        return Clean()  # it diverges, which other rules see: how far each mode goes says nothing
    gap = evaluated - train
    scale = _scale(first, recording)
    if gap > GAP.value * scale and gap > (RATIO.value - 1) * abs(train):
        return _gap(train, evaluated, scale, recording)
    return _old_statistics(recording) or Clean()


def _scale(first: float, recording: Recording) -> float:
    """Loss of a network that has learned nothing: the first one, but for a checkpoint, which begins below it."""
    facts = recording.facts.get("losses") or {}
    known = constant_total(facts) if is_from_checkpoint(recording) else None
    return max(abs(first), abs(known or 0.0))


def _gap(train: float, evaluated: float, scale: float, recording: Recording) -> Finding:
    has_statistics = bool(recording.fact("modes", "has_batch_norm"))
    beside = "that of a constant output" if is_from_checkpoint(recording) else "the first loss"
    gap = (evaluated - train) / max(scale, 1e-300)
    norm = (
        Remedy("give the running statistics of batch normalization time: momentum near 0.1, and larger batches"),
        Remedy("replace batch normalization by group or layer normalization, which has no running statistics"),
    )
    other = Remedy("find the module that does something else in evaluation mode (model.eval) than in training mode")
    return Finding(
        WARNING,
        f"the loss of the same batch is {train:.4g} in training mode and {evaluated:.4g} in evaluation mode"
        + (": the running statistics of batch normalization are not those of the batches" if has_statistics else ""),
        (
            Evidence(f"loss added by evaluation mode, relative to {beside}", gap, GAP.value),
            Evidence("loss in evaluation mode over that in training mode", evaluated / (train or 1e-300), RATIO.value),
        ),
        norm if has_statistics else (other,),
        strength=min(100.0, max(1.0, gap / GAP.value)) if math.isfinite(gap) else 100.0,
    )


def _still(recording: Recording) -> Finding:
    """Training moves the weights, and evaluation does not see it."""
    moved, loss = (float(recording.fact("modes", name)) for name in ("moved", "eval_loss"))
    return Finding(
        ERROR,
        f"training has moved the weights by {moved:.2%} of their norm, and evaluation mode gives a batch the same loss "
        f"as before, to the last digit ({loss:.5g} by now for another one): what is evaluated is not what is trained",
        (Evidence("movement of the trained weights over their norm", moved), Evidence("change of the loss", 0.0)),
        (
            Remedy("evaluate the weights that are trained, or a copy of them that is updated after every step"),
            Remedy("look at how the copy is made: a deep copy, or a saved state, knows nothing of later steps"),
        ),
        strength=100.0,
    )


def _never_switched(recording: Recording) -> Finding | None:
    """A loop that evaluates a model as it trains it, where that makes a difference."""
    try:
        count, training = (int(recording.fact("loop", name)) for name in ("evaluations", "evaluated_in_training_mode"))
        matters = bool(recording.fact("modes", "has_batch_norm")) or float(recording.fact("modes", "dropout")) > 0
    except MissingError:
        return None
    if not matters or training < max(1, count):
        return None
    return Finding(
        WARNING,
        f"all {count} passes without gradients ran in training mode: with dropout and statistics of the batch",
        (Evidence("passes without gradients in training mode", training, 0, f"of {count}"),),
        (Remedy("call model.eval() before every validation, and model.train() after it"),),
        strength=RATIO.value,
    )


def _old_statistics(recording: Recording) -> Finding | None:
    """Running statistics that move too slowly for the length of the run, where validation is far from training.

    Those that a checkpoint brings along were gathered in training.
    """
    if is_from_checkpoint(recording):
        return None
    try:
        momentum = float(recording.fact("modes", "norm_momentum"))
        steps = int(recording.fact("schedule", "steps"))
        validation, training = _late_losses(recording)
    except MissingError:
        return None
    left = (1 - momentum) ** steps
    if left <= OLD.value or validation <= APART.value * training:
        return None
    return Finding(
        WARNING,
        f"after {steps} steps at a momentum of {momentum:g} batch normalization's running statistics are to {left:.0%} "
        f"those of before training, and the validation loss is {validation:.4g} beside {training:.4g} in training",
        (
            Evidence("share of the statistics from before training", left, OLD.value),
            Evidence("validation loss over training loss", validation / max(training, 1e-300), APART.value),
        ),
        (Remedy("set the momentum of batch normalization near 0.1 (in PyTorch's sense: the share of a new batch)"),),
        strength=left / OLD.value,
    )


def _late_losses(recording: Recording) -> tuple[float, float]:
    """Weighted sum of the last validation losses, and the late level of the training loss."""
    weights = recording.params.loss_weights if "params" in recording.info else {}
    last = {name: recording.column("losses", f"val_{name}") for name in recording.fact("losses")}
    validation = sum(weights.get(name, 1.0) * float(values[np.isfinite(values)][-1]) for name, values in last.items())
    return validation, float(last_quarter(recording.column("losses", "total")).mean())


def _random(evaluated: float, again: float, limit: float) -> Finding:
    difference = abs(again - evaluated) / max(abs(evaluated), abs(again))
    what = "values are dropped at random" if limit == NOISE.value else "something random goes on"
    return Finding(
        WARNING,
        f"two passes of the same batch in evaluation mode give the losses {evaluated:.5g} and {again:.5g}: {what} "
        "there",
        (Evidence("relative difference of two passes", difference, limit),),
        (
            Remedy(
                "give functional dropout training=self.training, or use torch.nn.Dropout; sample in training mode only"
            ),
            Remedy("where it is meant so, as in Monte Carlo dropout, judge by the mean of many passes"),
        ),
        # A hundredth of the loss and more is plain to see in any validation, and grows with the training.
        strength=min(100.0, max(1.0, difference / REPEAT.value)),
    )


def _sampled(evaluated: float, again: float) -> Finding:
    """A latent variable that is drawn (Kingma and Welling 2014), which belongs to the model in either mode."""
    difference = abs(again - evaluated) / max(abs(evaluated), abs(again))
    return Finding(
        NOTE,
        f"two passes of the same batch in evaluation mode give the losses {evaluated:.4g} and {again:.4g}: the model "
        "draws random numbers there, and no dropout. As a part of it that is no fault; one batch's loss is known to "
        f"{difference:.1%} only",
        (Evidence("relative difference of two passes", difference, REPEAT.value),),
        (Remedy("compare validations over many samples, or take the mean of what is drawn in evaluation mode"),),
        strength=min(100.0, difference / REPEAT.value),
    )


RULE = Rule(
    code="PF505",
    name="train-eval-gap",
    title="Training and evaluation mode compute different things",
    detects="Beside a user's own loop: all passes without gradients run in training mode, of a model with dropout or "
    "batch normalization. After some steps of training the loss of one batch is measured in both modes. Evaluation "
    f"mode adds more than {GAP.value:g} of the first loss and more than the loss itself, or gives another loss when "
    "asked again: by however little where values are dropped at random, and as a note by more than "
    f"{REPEAT.value:g} where they are drawn only, as a latent variable is. Or at the end "
    f"of the run more than {OLD.value:g} of batch normalization's running statistics are those of before training, and "
    f"the validation loss is more than {APART.value:g} times the training loss. Or the weights have moved, and "
    "evaluation mode gives a batch exactly the loss of before: it asks other weights.",
    matters="The validation says little of what was trained, and the deployed model computes what was never trained.",
    fix="Of batch normalization look at the batch size (PF506), the momentum and whether batches differ in kind; of "
    "dropout whether it is told that training is over.",
    check=check,
    thresholds=(GAP, RATIO, REPEAT, NOISE, OLD, APART),
    causes=("PF502", "PF504", "PF507"),
)
