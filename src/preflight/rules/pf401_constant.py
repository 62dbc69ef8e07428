"""PF401: a loss that stays at what guessing gives."""

from __future__ import annotations

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, NotApplicable, Remedy
from preflight.rules.base import Rule
from preflight.rules.guessing import GUESS, RIGHT, judge_saved
from preflight.rules.levels import (
    ABOVE,
    FALL,
    MARGIN,
    MIN_STEPS,
    PRESSING,
    SATISFIED,
    WISHED,
    Stuck,
    all_stuck,
    is_trivial,
    last_quarter,
    level_of,
    satisfied_penalty,
    stuck_beside,
)
from preflight.rules.saved_losses import SAVED_EPOCHS, SPAN, has_no_steps
from preflight.telemetry.recording import Recording

FITTED = 0.5  # of the constant's loss: a single batch that comes this far can be fitted


def check(recording: Recording) -> Answer:
    """Judge every loss by its best constant predictor: all of them are stuck, or one beside others that are learned."""
    if has_no_steps(recording):
        return judge_saved(recording)
    steps = len(recording.table("losses"))
    if steps < MIN_STEPS.value:
        return NotApplicable(f"{steps} steps are too few to tell: it takes {MIN_STEPS.value:g}")
    stuck = all_stuck(recording)
    if not stuck:
        beside = stuck_beside(recording)
        return _beside(*beside[0]) if beside else Clean()
    first = stuck[0]
    evidence = tuple(
        Evidence(f"late level of '{item.name}'", item.late, item.constant - MARGIN.value * abs(item.constant), "loss")
        for item in stuck
    )
    reason, remedies = _batch_fit(recording)
    return Finding(
        ERROR,
        f"after {first.steps} steps the loss '{first.name}' is {first.late:.4g}, and the best constant output has "
        f"{first.constant:.4g}: {_lesson(first)}{_given_up(recording)}{reason}",
        evidence,
        remedies,
        where=first.name,
        strength=max(1.0, first.late / first.constant if first.constant > 0 else 1.0),
    )


def _beside(stuck: Stuck, learned: str) -> Finding:
    """One of several losses; a warning, since the others are learned."""
    return Finding(
        WARNING,
        f"after {stuck.steps} steps the loss '{stuck.name}' is {stuck.late:.4g}, and the best constant output has "
        f"{stuck.constant:.4g}: nothing of it is learned, while '{learned}' is",
        (
            Evidence(
                f"late level of '{stuck.name}'", stuck.late, stuck.constant - MARGIN.value * stuck.constant, "loss"
            ),
        ),
        (
            Remedy(
                f"follow '{stuck.name}' from its target to its output: whether the target belongs to the input, the "
                "head uses the features (PF410) and is trained (PF104), and the loss reaches it"
            ),
        ),
        where=stuck.name,
    )


def _lesson(stuck: Stuck) -> str:
    is_above = stuck.late > stuck.constant + ABOVE.value * abs(stuck.constant)
    return "not even that is learned" if is_above else "nothing of the input is used"


def _given_up(recording: Recording) -> str:
    """The penalty that the output was made constant for, where it is one."""
    penalty = satisfied_penalty(recording)
    if penalty is None:
        return ""
    late = level_of(last_quarter(recording.column("losses", penalty))).mean
    return f", while the penalty '{penalty}' is satisfied with {late:.3g}, as a constant output satisfies it"


def _batch_fit(recording: Recording) -> tuple[str, tuple[Remedy, ...]]:
    """What training on a single batch says of it: the settings are wrong, or the model is."""
    look = Remedy("see what keeps it there: the inputs (3xx), the head (PF407, PF408), dead units")
    try:
        fit = recording.fact("batch_fit")
        lr, today = float(fit["lr"]), recording.params.lr
        if is_trivial({"constant": fit["constant"], "initial": fit["first"]}):
            return "", (look,)
        is_fitted = fit["last"] < FITTED * fit["constant"]
    except (MissingError, KeyError, TypeError):
        return "", (look,)
    if not is_fitted:
        return "; a single batch cannot be fitted either, at any of five learning rates", (look,)
    if abs(lr / today - 1) < 0.01:
        return "; a single batch can be fitted, so the model can learn", (look,)
    text = f"lr={lr:g}, at which a single batch can be fitted"
    return f"; a single batch can be fitted at lr={lr:g}", (Remedy(text, {"lr": lr}), look)


RULE = Rule(
    code="PF401",
    name="stuck-at-constant",
    title="The loss stays where guessing would leave it",
    detects="The last quarter of every loss lies at the level of its best constant predictor or of chance, or is still "
    "where it began, in training and in validation, beyond the noise of the batches, and the second half of the run "
    "falls by less than FALL, or by more towards the level of a constant that satisfies a PRESSING "
    "penalty. Or one loss of a target is stuck there and never was below, while another is learned and "
    "does not weigh more than 1 / WISHED times as much. Of a history or a log: all losses are level at ln(classes), "
    "where the number of classes is given, or loss and accuracy are both those of guessing among some number; or the "
    "accuracy stays at 1 / classes while the loss falls.",
    matters="A network at that level answers the same to every input: it has learned the mean of the targets at most.",
    fix="Look for the cause among the other findings first: raw inputs, a head that cannot reach the targets, dead "
    "units, a learning rate far off, labels that do not belong to their inputs.",
    check=check,
    thresholds=(MARGIN, ABOVE, FALL, MIN_STEPS, WISHED, PRESSING, SATISFIED, GUESS, RIGHT, SPAN, SAVED_EPOCHS),
    causes=("PF402",),
)
