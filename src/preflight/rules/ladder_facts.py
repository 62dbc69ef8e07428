"""The ladder of learning rates that was climbed, as rules ask for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from preflight.core.errors import MissingError
from preflight.telemetry.recording import Recording

BEST = "best"
BROKEN = ("explodes", "unsteady", "too high")
# Half a decade, one rung: a rate that ends lowest after few steps is too high for a longer run, in which lower ones
# catch up (Smith, Cyclical Learning Rates, 2017: the range to train in ends where the loss becomes ragged). Rates of
# healthy runs, which end as well as any, lie 3.3 times below the best one of their ladder in the median.
AWAY = math.sqrt(10)
Rung = Mapping[str, Any]


def rungs_of(recording: Recording) -> Sequence[Rung]:
    """Rungs with the normalizations that the recording trained with; raises :class:`MissingError` without them."""
    ladders: Mapping[str, Sequence[Rung]] = recording.fact("ladders")
    used = {name: option for name, option in recording.params.normalization.items() if option != "none"}
    for label, rungs in ladders.items():
        if set(label.split(", ")) == {f"{name}: {option}" for name, option in used.items()}:
            return rungs
        if not used and ": " not in label:
            return rungs
    raise MissingError("no ladder of learning rates was climbed with these normalizations")


def best_rung(rungs: Sequence[Rung]) -> Rung | None:
    """The rung that ended lowest of those that learn; None where none does."""
    return next((rung for rung in rungs if rung["verdict"] == BEST and math.isfinite(rung["final_loss"])), None)


def advised_rate(rungs: Sequence[Rung]) -> float | None:
    """Half a decade below the best rung's rate; None where no rung learns."""
    best = best_rung(rungs)
    return None if best is None else float(best["lr"]) / AWAY


def rung_at(rungs: Sequence[Rung], lr: float) -> Rung | None:
    """The rung of this very rate."""
    return next((rung for rung in rungs if math.isclose(rung["lr"], lr, rel_tol=1e-6)), None)
