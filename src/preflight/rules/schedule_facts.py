"""What the replay of the schedule found, as rules ask for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class Plan:
    """A thinned replay: ``rates[P]``, the means over the parts of a run between ``edges[P + 1]``, in steps."""

    edges: Array
    rates: Array

    @classmethod
    def of(cls, points: Sequence[Sequence[float]], steps: int) -> Plan:
        """Of ``[[step, lr], ...]``, each the mean from its step up to the next one's, the last with that after the run
        of ``steps``.
        """
        known = np.asarray(points, dtype=np.float64)
        return cls(np.append(known[:, 0], steps + 1), known[:, 1])

    def means(self, edges: Array) -> Array:
        """Mean rates ``[T]`` between ``edges[T + 1]``; beyond the end of the run it stays at its last rate."""
        end = max(self.edges[-1], edges[-1]) + 1
        known = np.append(self.edges, end)
        total = np.cumsum(np.append(0.0, np.diff(known) * np.append(self.rates, self.rates[-1])))
        means: Array = np.diff(np.interp(edges, known, total)) / np.diff(edges)
        return means
