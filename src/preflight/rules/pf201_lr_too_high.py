"""PF201: a learning rate that is too high."""

from __future__ import annotations

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.components import component_deltas
from preflight.rules.ladder_facts import BROKEN, Rung, best_rung, lowered_rate, rung_at, rungs_of
from preflight.rules.predicates import (
    RUNAWAY_RATIO,
    UNSTEADY_RATIO,
    Array,
    are_decreasing,
    first_nonfinite,
    growth_of_gradient,
    has_run_away,
)
from preflight.rules.progress import MIN_STEPS, first_movement, late_loss, late_noise
from preflight.rules.swing import SWING, TURNS, swing_of
from preflight.telemetry.recording import Measured, Recording

RISE = Threshold(
    "RISE", 1.2, "times its first level is a loss that has risen", "noise of one batch is sorted out by ranks"
)
MOVED = Threshold(
    "MOVED",
    1.0,
    "times their own norm is farther than weights can go within the first recorded steps and be trained",
    "updates of healthy runs are near 0.001 of the weights a step (Karpathy, CS231n)",
)
DROP = Threshold(
    "DROP", 0.05, "of its first value, or of what a lower rate gains, is no drop of a loss", "one in twenty"
)
LOST = Threshold(
    "LOST",
    0.05,
    "of its gain is what a loss may give back after its best, and that by ranks beyond noise",
    "one in twenty, as for a drop; no healthy run rose again beyond noise",
)
WORSE = Threshold(
    "WORSE",
    1.25,
    "times the best constant predictor's loss on new data is worse than knowing nothing",
    "noise of a few hundred samples is below a tenth",
)
EARLY = 0.1
ABOVE = Threshold(
    "ABOVE", 3.0, "times the ladder's best rate is too high, where that rate broke there", "one rung is half a decade"
)


def check(recording: Recording) -> Answer:
    """Divergence, a rising loss, weights that are thrown about, or a ladder of rates on which this one broke."""
    try:
        recorded = recording.measured("losses", "total")
    except MissingError:
        if recording.is_own:
            raise
        return _swinging(recording)
    losses = recorded.values
    broken = first_nonfinite(losses)
    if broken is not None:
        return _diverged(recording, recorded, broken)
    if len(losses) < MIN_STEPS:
        return too_few("losses.csv", len(losses), MIN_STEPS)
    if has_run_away(losses):
        ratio = late_loss(losses) / losses[0] if losses[0] > 0 else RUNAWAY_RATIO
        evidence = Evidence("late loss over the first", ratio, RUNAWAY_RATIO, "x")
        return _finding(
            recording, ERROR, f"the loss runs away, from {losses[0]:.3g} to {late_loss(losses):.3g}", evidence
        )
    if has_risen(losses):
        first = float(np.median(losses[: len(losses) // 4]))
        evidence = Evidence("late loss over the early one", late_loss(losses) / first, RISE.value, "x")
        return _finding(recording, ERROR, f"the loss rises, from {first:.3g} to {late_loss(losses):.3g}", evidence)
    ladder = _own_ladder(recording)
    found = _thrown_about(recording, losses) or (ladder and _worse_than_lower(recording, losses, *ladder))
    found = found or (ladder and _jumps(recording, losses, *ladder))
    return found or (ladder and _loses_again(recording, losses, *ladder)) or Clean()


def _swinging(recording: Recording) -> Answer:
    """What weight changes alone tell: steps that overshoot are followed by steps that undo them."""
    moves = component_deltas(recording)
    if (rows := max((len(move.values) for move in moves.values()), default=0)) < MIN_STEPS:
        return too_few("weight_deltas.csv", rows, MIN_STEPS)
    found = {name: swing_of(move.values) for name, move in moves.items()}
    wide = {name: swing for name, swing in found.items() if swing > SWING.value}
    if not wide:
        return Clean()
    where = max(wide, key=wide.__getitem__)
    return Finding(
        WARNING,
        f"the weight changes of {where!r} go up and down in turn, by {wide[where]:.3g} times from row to row; "
        f"{len(wide)} of {len(moves)} components do",
        (Evidence("median factor between a change and the next", wide[where], SWING.value, "x"),),
        (
            Remedy("lower the learning rate", lowered_rate(recording, 10)),
            Remedy("or record the loss, which tells for sure"),
        ),
        where=where,
        strength=min(100.0, wide[where] / SWING.value),
    )


def has_risen(losses: Array) -> bool:
    """Whether positive ``losses[T]`` rise by more than noise would have it, and by a fifth."""
    early = float(np.median(losses[: max(1, len(losses) // 4)]))
    return bool(early > 0 and late_loss(losses) > RISE.value * early and are_decreasing([-losses]))


def is_no_better(losses: Array) -> bool:
    """Whether the end of ``losses[T]`` is not below their first value by more than its own noise, or hardly is."""
    return bool(late_loss(losses) > losses[0] - max(late_noise(losses), DROP.value * abs(losses[0])))


def _beside_first(losses: Array) -> str:
    """How the end of ``losses[T]`` stands to their first value, of which it is no better, in words."""
    first, noise = f"its first value of {losses[0]:.3g}", late_noise(losses)
    if late_loss(losses) >= losses[0]:
        return f"no better than {first}"
    drop = DROP.value * abs(losses[0])
    why = f"the noise of the batches, {noise:.2g}" if noise > drop else f"{DROP.value:.0%} of it"
    return f"hardly better than {first}, by less than {why}"


def _diverged(recording: Recording, losses: Measured, broken: int) -> Answer:
    """What breaks without having grown has another cause: a bad sample, a logarithm of zero."""
    finite, step = losses.values[:broken], int(losses.steps[broken])
    overall = recording.measured("gradient_norms", "overall")
    what, growth = _growth_before(finite, overall.values[overall.steps < step])
    if broken == 0 or not (growth > UNSTEADY_RATIO or (len(finite) >= 4 and has_run_away(finite))):
        return Clean()
    evidence = Evidence(f"growth of the {what} before", growth, UNSTEADY_RATIO, "x")
    when = losses.place(broken)
    message = f"the run diverges: the {what} grows {growth:.3g} times, and the loss is not finite at {when}"
    return _finding(recording, ERROR, message, evidence, step)


def _growth_before(losses: Array, norms: Array) -> tuple[str, float]:
    """What grew before a loss that is not finite, and how many times; no gradient that is not finite has grown.

    A norm that is too large for float32 leaves the growth to the loss.
    """
    finite = norms[np.isfinite(norms)]
    growth = growth_of_gradient(finite) if len(finite) else 1.0
    risen = float(losses.max() / losses[0]) if len(finite) < len(norms) and losses[0] > 0 else 1.0
    return ("loss", risen) if risen > growth else ("gradient norm", growth)


def _thrown_about(recording: Recording, losses: Array) -> Finding | None:
    try:
        moved = first_movement(recording)
    except MissingError:
        return None
    if moved <= MOVED.value:
        return None
    if not is_no_better(losses):
        return _lost_on_new_data(recording, moved, losses)
    message = (
        f"the first recorded steps move the weights by {moved:.3g} times their own norm, and the loss ends at "
        f"{late_loss(losses):.3g}, {_beside_first(losses)}"
    )
    return _finding(recording, ERROR, message, Evidence("first change over the weights", moved, MOVED.value, "x"))


def _lost_on_new_data(recording: Recording, moved: float, losses: Array) -> Finding | None:
    """The training samples are learned by heart after the jump, and new ones are answered worse than by a constant."""
    score = recording.score
    if not (score > WORSE.value and max(losses) > RUNAWAY_RATIO * losses[0] > 0):
        return None
    message = (
        f"the first recorded steps move the weights by {moved:.3g} times their own norm, the loss jumps from "
        f"{losses[0]:.3g} to {max(losses):.3g}, and new samples are answered worse than by a constant, {score:.3g} "
        "times its loss"
    )
    return _finding(recording, WARNING, message, Evidence("first change over the weights", moved, MOVED.value, "x"))


def _own_ladder(recording: Recording) -> tuple[float, Rung, Rung] | None:
    """This rate, its own rung and the best one, where that one is lower."""
    try:
        rungs, lr = rungs_of(recording), recording.params.lr
    except MissingError:
        return None
    best, own = best_rung(rungs), rung_at(rungs, lr)
    return None if best is None or own is None or lr <= best["lr"] else (lr, own, best)


def _worse_than_lower(recording: Recording, losses: Array, lr: float, own: Rung, best: Rung) -> Finding | None:
    if own["verdict"] not in BROKEN:
        return None
    if late_loss(losses) <= best["final_loss"]:
        return None  # with its warmup and decay it does better than any constant rate
    # Where next to nothing was learned, any lower rate that learns is evidence enough.
    is_lost = bool(losses[0] - late_loss(losses) < DROP.value * (losses[0] - best["final_loss"]))
    limit = 1.0 if is_lost else ABOVE.value
    if lr < limit * best["lr"]:
        return None
    message = (
        f"on the ladder of rates lr={lr:.3g} is judged '{own['verdict']}', and this run ends at "
        f"{late_loss(losses):.3g}, "
        f"above the {best['final_loss']:.3g} of short runs at lr={best['lr']:.3g}"
    )
    return _finding(
        recording,
        ERROR if is_lost else WARNING,
        message,
        Evidence("lr over the best of the ladder", lr / best["lr"], limit, "x"),
    )


def _jumps(recording: Recording, losses: Array, lr: float, own: Rung, best: Rung) -> Finding | None:
    """A run that recovers from its first steps, at a rate that the ladder broke on and far above one that learns."""
    early = losses[: max(1, round(EARLY * len(losses)))]
    if own["verdict"] not in BROKEN or lr < ABOVE.value * best["lr"] or not early.max() > RUNAWAY_RATIO * losses[0] > 0:
        return None
    message = (
        f"on the ladder of rates lr={lr:.3g} is judged '{own['verdict']}', where lr={best['lr']:.3g} learns best; in "
        f"this run the loss jumps to {early.max() / losses[0]:.3g} times its first value at step {int(early.argmax())}"
    )
    evidence = Evidence("lr over the best of the ladder", lr / best["lr"], ABOVE.value, "x")
    return _finding(recording, WARNING, message, evidence, int(early.argmax()))


def _loses_again(recording: Recording, losses: Array, lr: float, own: Rung, best: Rung) -> Finding | None:
    """A loss that rises for good after its best, at a rate above the best one of the ladder."""
    lowest, start = lowest_stretch(losses)
    late, gained = late_loss(losses), losses[0] - lowest
    # The lowest stretch is the luckiest of many: the rise must be larger than what one batch differs from the next.
    if gained <= 0 or late - lowest <= max(LOST.value * gained, late_noise(losses)):
        return None
    if not are_decreasing([-losses[start:]]):
        return None
    return _finding(
        recording,
        WARNING,
        f"the loss falls from {losses[0]:.3g} to {lowest:.3g} at step {start} and rises again to {late:.3g}, at "
        f"{lr / best['lr']:.3g} times the best rate of the ladder",
        Evidence("share of its gain that the loss gives back", (late - lowest) / gained, LOST.value),
        start,
    )


def lowest_stretch(losses: Array) -> tuple[float, int]:
    """Lowest median of a tenth of ``losses[T]`` in a row, and the step at which that tenth begins."""
    size = max(MIN_STEPS // 2, len(losses) // 10)
    medians = np.median(np.lib.stride_tricks.sliding_window_view(losses, size), axis=1)
    return float(medians.min()), int(medians.argmin())


def _finding(recording: Recording, severity: str, message: str, evidence: Evidence, step: int | None = None) -> Finding:
    limit = float(evidence.limit or 1.0)
    value = min(abs(float(evidence.value)), 1e6)
    return Finding(
        severity,
        message,
        (evidence,),
        (Remedy("lower the learning rate", lowered_rate(recording, 10)), Remedy("warm up", {"warmup_fraction": 0.05})),
        step=step,
        strength=max(1.0, value / limit),
    )


RULE = Rule(
    code="PF201",
    name="lr-too-high",
    title="The learning rate is too high",
    detects="The loss runs away, rises, or stops being finite after the gradient has grown; or the first steps move "
    "the weights by more than MOVED times their norm and nothing is learned, or the loss jumps and new data is then "
    "answered WORSE than by a constant; or the run ends worse than short runs at a rate that is ABOVE times lower, "
    "or at any lower one where it learned next to nothing, on a ladder on which its own rate broke; or its loss jumps "
    "in the first steps at such a rate; or, above the "
    "best rate of the ladder, the loss gives back LOST of its gain. Of a directory without losses: the weight changes "
    "swing by SWING and more, up and down in turn.",
    matters="Steps that overshoot undo what was learned; what the network loses early it may never find again.",
    fix="Lower the rate to the lowest one of the ladder that gains nearly as much as its best, or warm up to it. "
    "Where the inputs are raw (PF301), normalize them first: the rate that fits is often a higher one then.",
    check=check,
    thresholds=(RISE, MOVED, WORSE, DROP, LOST, ABOVE, SWING, TURNS),
    causes=("PF101", "PF103", "PF108", "PF205", "PF401", "PF402", "PF507"),
)
