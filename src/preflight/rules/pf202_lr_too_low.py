"""PF202: a learning rate that is too low."""

from __future__ import annotations

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, NOTE, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.components import component_deltas, finite, prototype_norms, rates
from preflight.rules.ladder_facts import advised_rate, best_rung, rungs_of, start_of_learning
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
FLOOR = Threshold(
    "FLOOR",
    1e-6,
    "is the whole way of a component of unknown weights that is as good as none",
    "weights of a layer at common initialisations have a norm of 1 and more, of which float32 resolves 1e-7",
)
STILL = Threshold(
    "STILL",
    1e-3,
    "of the norm of one of its rows, where a head's statistics tell it: less is no way for a head to go",
    "the whole matrix is at least as long as a row; components of healthy runs moved by 0.05 and more",
)
DROP = Threshold("DROP", 0.05, "of its first level is no drop of a loss", "one in twenty")


def check(recording: Recording) -> Answer:
    """A rate of zero; little is gained beside a higher rate of the ladder; or nothing moves over the whole long run."""
    found = _rate_of_zero(recording)
    if found is not None:
        return found
    if not recording.is_own and not _has_scale(recording):
        return _minimal_changes(recording)
    return _by_losses(recording)


def _by_losses(recording: Recording) -> Answer:
    losses = recording.measured("losses", "total").values
    if len(losses) < MIN_STEPS:
        return too_few("losses.csv", len(losses), MIN_STEPS)
    if not np.isfinite(losses).all():
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


def _rate_of_zero(recording: Recording) -> Finding | None:
    """Whether groups had a rate of zero in every row: all of them, or some of another tool's that may mean it."""
    try:
        found = {name: item.values for name, item in rates(recording).items() if len(item.values) >= MIN_STEPS}
    except MissingError:
        return None
    zero = [name for name, values in found.items() if not values.any()]
    is_all = len(zero) == len(found)
    if not zero or (recording.is_own and not is_all):
        return None
    which = "every parameter group" if is_all else ", ".join(map(repr, zero))
    return Finding(
        ERROR if is_all else NOTE,
        f"the learning rate of {which} is 0 in each of {len(found[zero[0]])} rows: nothing there can move",
        (Evidence("groups with a rate of 0", len(zero), unit=f"of {len(found)}"),),
        (Remedy("look at the schedule and at the rate that the optimizer was given"),),
        where=zero[0],
        strength=100.0,
        explains=("PF104",),
    )


def _has_scale(recording: Recording) -> bool:
    """Whether losses and the norms of all weights are known, to hold a movement against."""
    try:
        return bool(len(recording.column("losses", "total"))) and movement(recording) >= 0
    except MissingError:
        return False


def _minimal_changes(recording: Recording) -> Answer:
    """What weight changes alone tell, and the norm of a head's prototypes: no component is known to have moved."""
    moves = component_deltas(recording)
    long = {name: move.values for name, move in moves.items() if len(move.values) >= MIN_STEPS}
    if not long:
        return too_few("weight_deltas.csv", max((len(item.values) for item in moves.values()), default=0), MIN_STEPS)
    ways = {name: float(finite(changes).sum()) for name, changes in long.items()}
    if not any(ways.values()) or len(long) < len(moves):
        return Clean()
    heads = prototype_norms(recording)
    limits = {name: max(FLOOR.value, STILL.value * heads.get(name, 0.0)) for name in ways}
    if any(way > limits[name] for name, way in ways.items()):
        return Clean()
    where = max(ways, key=lambda name: ways[name] / limits[name])
    return Finding(
        ERROR,
        f"over all {len(long[where])} rows the weights hardly move: all changes of {where!r} together are "
        f"{ways[where]:.2g}, and no component moves by more than its limit",
        (Evidence(f"sum of the changes of {where!r}", ways[where], limits[where], "weight"),),
        (Remedy("raise the learning rate by decades, until the weights move by about 0.001 of their norm a step"),),
        where=where,
        strength=min(100.0, limits[where] / ways[where]) if ways[where] else 100.0,
    )


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
    begin = start_of_learning(recording, start)
    if begin <= best["final_loss"]:
        begin = start  # no rate of the ladder gets below a constant in its few steps
    possible = begin - best["final_loss"]
    if possible <= 0:
        return None
    gained = (begin - late_loss(losses)) / possible
    if gained >= GAINED.value:
        return None
    return Finding(
        WARNING,
        f"at lr={lr:.3g} the loss has gained {max(0.0, gained):.1%} of what shorter runs at lr={best['lr']:.3g} gain"
        + (f", counted from {begin:.4g}, the best constant's loss" if begin < start else ""),
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
    "times higher, and more times higher than the long run is longer, where coming down from wild outputs to the best "
    "constant's loss is no gain yet; or the loss does not fall and the weights, at their "
    "pace, "
    "move by less than WAY of their norm over the whole long run; or the recorded rates are 0 throughout. Of a "
    "directory that tells of components only: all their changes together are next to nothing.",
    matters="The run ends where it began, after all of its time.",
    fix="Raise the rate to the lowest one of the ladder that gains nearly as much as its best. Where the schedule "
    "keeps it low (PF206, PF204), mend that first.",
    check=check,
    thresholds=(BELOW, GAINED, WAY, FLOOR, STILL, DROP),
    causes=("PF401", "PF402"),
)
