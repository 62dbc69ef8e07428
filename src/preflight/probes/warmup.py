"""A warmup that a user's scheduler makes: how long it is, and how much of it the run sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from preflight.probes.lengths import lengths_of, numbers_of
from preflight.rules.pf206_scheduler_unit import WARMUP
from preflight.tasks.schedules import Array, Replay

# Advances that are replayed beyond the run, microseconds each, for the end of a warmup that is longer.
LONGEST = 200_000
# Of the peak is at the peak.
THERE = 0.99


def before_peak(curve: Array) -> int:
    """How many of ``curve[T]`` pass before the rate first comes near its peak; 0 where it starts there."""
    return int(np.flatnonzero(curve >= THERE * curve.max())[0])


def own_warmup(found: Replay, group: int, advances: int, again: Callable[[int], Replay]) -> dict[str, Any] | None:
    """``{name, advances, reached}``: its length and the share of its peak that a run of ``advances`` reaches.

    None without a rise, or where the length is in nothing that the scheduler holds. ``again`` replays it for longer.
    """
    run = found.lrs[:advances, group]
    if before_peak(run) == 0:
        return None
    if run[-1] >= run.max():  # rising still
        longer = [number for number in numbers_of(found.scheduler) if advances < number <= LONGEST]
        found = again(max(longer) + max(longer) // 10 + 2) if longer else found
    lrs = found.lrs[:, group]
    known = [item for item in lengths_of(found.scheduler, lrs) if item.role == WARMUP]
    if not known:
        return None
    longest = max(known, key=lambda item: item.value)
    return {"name": longest.name, "advances": longest.value, "reached": float(run.max() / lrs.max())}
