"""How long a trial may take: one that hangs would hold its worker, and the study, for ever."""

from __future__ import annotations

import math
from statistics import median

from preflight.trials.lab import TrialSpec
from preflight.trials.outcome import COMPLETED, Result

LEAST_S = 60.0
TIMES = 20
"""A trial that takes so many times as long as those before it, step by step, is no longer slow: it hangs."""


class Patience:
    """Learns the pace from trials that completed; before the first has, there is no limit.

    The pace is the typical one: the first trial of a worker starts up, which has nothing to do with its steps. It
    is that of a worker which has kept no samples yet.
    """

    def __init__(self) -> None:
        self._paces: list[float] = []  # seconds per step, of batches of today's size

    def learn(self, spec: TrialSpec, result: Result) -> None:
        """Take the pace of a trial that ended."""
        if result.outcome.status == COMPLETED and spec.steps:
            self._paces.append((result.seconds + result.spared_s) / spec.steps)

    def limit_s(self, spec: TrialSpec) -> float:
        """Seconds after which ``spec`` counts as hanging; infinite where no pace is known."""
        return LEAST_S + TIMES * median(self._paces) * spec.steps if self._paces else math.inf


class Waiting:
    """Seconds that a trial was waited for. A pause of the whole program, Ctrl-Z or a lid that closes, counts little."""

    def __init__(self, now: float) -> None:
        self._last, self.seconds = now, 0.0

    def go_on(self, now: float, most: float) -> float:
        """Seconds until ``now``, of which at most ``most`` count since the last look."""
        self.seconds += min(most, now - self._last)
        self._last = now
        return self.seconds
