"""Weight changes that go up and down in turn: each step overshoots, and the next undoes it."""

from __future__ import annotations

import numpy as np

from preflight.rules.base import Threshold
from preflight.rules.predicates import Array
from preflight.rules.progress import MIN_STEPS

SWING = Threshold(
    "SWING", 3.0, "times the change before, or a third of it, is a swing", "half a decade; noise of a batch is below"
)
TURNS = Threshold(
    "TURNS",
    0.9,
    "of the changes from row to row turn back, at least",
    "of values without order two in three do (Bienayme 1874), of those that swing all",
)


def swing_of(changes: Array) -> float:
    """Median factor between one of ``changes[T]`` and the next, where nearly all go up and down in turn; else 1."""
    logs = np.log(changes[np.isfinite(changes) & (changes > 0)])
    ways = np.diff(logs)
    turns = np.sign(ways[1:]) * np.sign(ways[:-1]) < 0
    if len(logs) < MIN_STEPS or turns.mean() < TURNS.value:
        return 1.0
    return float(np.exp(np.median(np.abs(ways))))
