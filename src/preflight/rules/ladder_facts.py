"""The ladder of learning rates that was climbed, as rules ask for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from preflight.core.errors import MissingError
from preflight.rules.levels import constant_total, loss_facts
from preflight.telemetry.recording import Recording

BEST = "best"
BROKEN = ("explodes", "unsteady", "too high")
# Half a decade, one rung: a rate that ends lowest after few steps may be too high for a longer run where the next one
# breaks (Smith, Cyclical Learning Rates, 2017: the range to train in ends where the loss becomes ragged).
AWAY = math.sqrt(10)
# Of the best rung's gain: a lower rate that gets so far in a short run gets there in a longer one, and ends calmer.
NEARLY = 0.9
Rung = Mapping[str, Any]


def rungs_of(recording: Recording) -> Sequence[Rung]:
    """Rungs with the normalizations that the recording trained with; raises :class:`MissingError` without them."""
    ladders: Mapping[str, Sequence[Rung]] = recording.fact("ladders")
    used = recording.params.normalization_label
    for label, rungs in ladders.items():
        if set(label.split(", ")) == set(used.split(", ")) or (not used and ": " not in label):
            return rungs
    raise MissingError("no ladder of learning rates was climbed with these normalizations")


def best_rung(rungs: Sequence[Rung]) -> Rung | None:
    """The rung that ended lowest of those that learn; None where none does."""
    return next((rung for rung in rungs if rung["verdict"] == BEST and math.isfinite(rung["final_loss"])), None)


def advised_rate(recording: Recording) -> float | None:
    """The lowest rate that gains nearly as much as the best rung; None where no rung learns, or none was climbed.

    Where that is the best rung itself and the next one breaks, half a decade below it. A gain counts from the best
    constant's loss where the lowest rung ends above that: to come down from wild outputs is nothing learned yet.
    """
    try:
        rungs = rungs_of(recording)
    except MissingError:
        return None
    best = best_rung(rungs)
    if best is None:
        return None
    ordered = sorted((rung for rung in rungs if math.isfinite(rung["final_loss"])), key=lambda rung: rung["lr"])
    start = start_of_learning(recording, ordered[0]["final_loss"])
    needed = best["final_loss"] + (1 - NEARLY) * max(0.0, start - best["final_loss"])
    below = [rung for rung in ordered if rung["lr"] < best["lr"] and rung["verdict"] not in BROKEN]
    enough = next((rung for rung in below if rung["final_loss"] <= needed), None)
    if enough is not None:
        return float(enough["lr"])
    above = next((rung for rung in rungs if rung["lr"] > best["lr"]), None)
    return float(best["lr"]) / (AWAY if above is not None and above["verdict"] in BROKEN else 1.0)


def lowered_rate(recording: Recording, times: float) -> dict[str, float]:
    """The setting of a lower rate: what the ladder advises where that is lower, else so many times lower than today's.

    Every rule that lowers the rate asks here, so that one remedy does not contradict another, nor the ladder.
    """
    lr = recording.setting("lr") if "params" in recording.info else None
    if not isinstance(lr, int | float):
        return {}
    advised = advised_rate(recording)
    return {"lr": advised if advised is not None and advised < lr else lr / times}


def raised_rate(recording: Recording, times: float) -> dict[str, float]:
    """The setting of a higher rate: what the ladder advises where that is higher, else so many times today's."""
    lr = recording.setting("lr") if "params" in recording.info else None
    if not isinstance(lr, int | float):
        return {}
    advised = advised_rate(recording)
    return {"lr": advised if advised is not None and advised > lr else lr * times}


def start_of_learning(recording: Recording, loss: float) -> float:
    """The level that a gain counts from: ``loss``, or that of the best constant where it is lower and known."""
    try:
        constant = constant_total(loss_facts(recording))
    except MissingError:
        constant = None
    return loss if constant is None else min(loss, constant)


def rung_at(rungs: Sequence[Rung], lr: float) -> Rung | None:
    """The rung of this very rate."""
    return next((rung for rung in rungs if math.isclose(rung["lr"], lr, rel_tol=1e-6)), None)
