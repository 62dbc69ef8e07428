"""PF202: a learning rate that is too low."""

from __future__ import annotations

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.ladder_facts import advised_rate, best_rung, rungs_of
from preflight.rules.predicates import Array, are_decreasing
from preflight.rules.progress import MIN_STEPS, late_loss, movement, times_longer
from preflight.telemetry.recording import Recording

BELOW = Threshold(
    "BELOW", 30, "times below the ladder's best rate is far", "rates that train well lie within a decade of each other"
)
GAINED = Threshold(
    "GAINED", 0.1, "of what shorter runs at the ladder's best rate gain is little", "a tenth of the way in more steps"
)
WAY = Threshold(
    "WAY",
    0.05,
    "of their own norm is farther than weights go over the whole long run",
    "wide networks that learn in place move by a few hundredths; networks that learn features by more",
)
DROP = Threshold("DROP", 0.05, "of its first level is no drop of a loss", "one in twenty")


def check(recording: Recording) -> Answer:
    """Little is gained beside a higher rate of the ladder; or nothing moves over the whole long run."""
    losses = recording.column("losses", "total")
    if len(losses) < MIN_STEPS or not np.isfinite(losses).all():
        return Clean()
    missing = []
    for look in (_behind_the_ladder, _nothing_moves):
        try:
            found = look(recording, losses)
        except MissingError as error:
            missing.append(str(error))
            continue
        if found is not None:
            return found
    if len(missing) == 2:
        raise MissingError("; ".join(missing))
    return Clean()


def start_of(losses: Array) -> float:
    """Median of the first five."""
    return float(np.median(losses[:5]))


def _behind_the_ladder(recording: Recording, losses: Array) -> Finding | None:
    best, lr = best_rung(rungs_of(recording)), recording.params.lr
    # In a long run that is this many times longer, a rate that is as many times lower gets as far.
    far = max(BELOW.value, times_longer(recording, len(losses)))
    if best is None or best["lr"] < far * lr:
        return None
    start = start_of(losses)
    possible = start - best["final_loss"]
    if possible <= 0:
        return None
    gained = (start - late_loss(losses)) / possible
    if gained >= GAINED.value:
        return None
    return Finding(
        WARNING,
        f"at lr={lr:.3g} the loss has gained {max(0.0, gained):.1%} of what shorter runs at lr={best['lr']:.3g} gain",
        (
            Evidence("gain over that of the ladder's best rate", gained, GAINED.value),
            Evidence("the ladder's best rate over this one", best["lr"] / lr, far, "x"),
        ),
        (_raised(recording),),
        strength=best["lr"] / lr / far,
    )


def _nothing_moves(recording: Recording, losses: Array) -> Finding | None:
    way = movement(recording) * times_longer(recording, len(losses))
    first, late = start_of(losses), late_loss(losses)
    learns = are_decreasing([losses]) and first - late > DROP.value * abs(first)
    has_gradient = float(np.nanmedian(recording.column("gradient_norms", "overall"))) > 0
    if learns or not has_gradient or way >= WAY.value or way <= 0:
        return None
    vain = _rates_in_vain(recording)
    return Finding(
        ERROR if vain is None else WARNING,
        f"over the whole long run the weights can move by {way:.2%} of their norm, and the loss goes from {first:.4g} "
        f"to {late:.4g}" + ("" if vain is None else f"; no rate of the ladder makes progress either, up to {vain:.3g}"),
        (
            Evidence("way of the weights over their norm", way, WAY.value),
            Evidence("late loss over early", late / first if first else 1.0),
        ),
        (_raised(recording),),
        strength=min(100.0, WAY.value / way),
    )


def _rates_in_vain(recording: Recording) -> float | None:
    """The highest rate that was tried, where higher ones than this were and none at all makes progress."""
    if "params" not in recording.info:
        return None
    try:
        rungs = rungs_of(recording)
    except MissingError:
        return None
    highest = max((float(rung["lr"]) for rung in rungs), default=0.0)
    return highest if best_rung(rungs) is None and highest >= BELOW.value * recording.params.lr else None


def _raised(recording: Recording) -> Remedy:
    """The rate that the ladder advises, where it is higher; without a ladder nobody knows how far to go."""
    advised = advised_rate(recording) if "params" in recording.info else None
    if _rates_in_vain(recording) is not None:
        return Remedy(
            "find out first what keeps every rate from learning: layers without gradient, an output that ignores its "
            "input, targets that do not fit"
        )
    if advised is None or advised <= recording.params.lr:
        return Remedy("raise the learning rate by decades, until the loss falls")
    return Remedy("raise the learning rate to one that gains nearly as much as the ladder's best", {"lr": advised})


RULE = Rule(
    code="PF202",
    name="lr-too-low",
    title="The learning rate is too low",
    detects="The loss has gained less than GAINED of what shorter runs gain at a rate of the ladder that is BELOW "
    "times "
    "higher, and more times higher than the long run is longer; or the loss does not fall and the weights, at their "
    "pace, "
    "move by less than WAY of their norm over the whole long run.",
    matters="The run ends where it began, after all of its time.",
    fix="Raise the rate to the lowest one of the ladder that gains nearly as much as its best. Where the schedule "
    "keeps it low (PF206, PF204), mend that first.",
    check=check,
    thresholds=(BELOW, GAINED, WAY, DROP),
    causes=("PF401", "PF402"),
)
