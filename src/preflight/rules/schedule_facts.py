"""What the replay of the schedule found, as rules ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.rules.predicates import Array
from preflight.telemetry.recording import Recording


def replayed(recording: Recording) -> Mapping[str, Any]:
    """Facts of a schedule that could be replayed; raises :class:`MissingError` with the reason where it could not."""
    failure = recording.facts.get("failed", {}).get("schedule")
    if failure:
        raise MissingError(f"the schedule cannot be replayed: {failure}")
    facts: Mapping[str, Any] = recording.fact("schedule")
    if facts.get("reason"):
        raise MissingError(f"the schedule cannot be replayed: {facts['reason']}")
    return facts


def rates_at(points: Any, steps: Array) -> Array:
    """Rates at ``steps[T]`` of a thinned replay ``[[step, lr], ...]``."""
    known = np.asarray(points, dtype=np.float64)
    rates: Array = np.interp(steps, known[:, 0], known[:, 1])
    return rates
