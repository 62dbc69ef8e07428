"""How much faster training is fed another way, and the fewest loader workers that do as well as the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from preflight.advise.evidence import effect
from preflight.core.finding import CONFIRMED, REFUTED, UNDECIDED

# Less than this is not worth another process; a count that comes as close to the best does as well.
MIN_SPEEDUP = 1.05
# A ratio that may be so many times another is not known.
VAGUE_RATIO = 3.0
# An interval wider than that is not spelled out.
MAX_WIDTH = 100.0


@dataclass(frozen=True)
class Speed:
    """Samples per second before and after a change, medians over so many ``rounds``.

    ``low`` and ``high`` bound their ratio by a t-interval on the log ratio of the rounds, at the confidence of an
    :class:`Effect`.
    """

    before_per_s: float
    after_per_s: float
    ratio: float
    low: float
    high: float
    rounds: int

    @property
    def verdict(self) -> str:
        """Confirmed beyond the noise, undecided within it, or refuted."""
        if self.ratio >= MIN_SPEEDUP and self.low > 1:
            return CONFIRMED
        is_open = self.ratio >= MIN_SPEEDUP or (self.high >= MIN_SPEEDUP and self.high > VAGUE_RATIO * self.low)
        return UNDECIDED if is_open else REFUTED

    def __str__(self) -> str:
        return f"{_rate(self.before_per_s)} -> {_rate(self.after_per_s)} samples/s, {self.times}"

    @property
    def times(self) -> str:
        """``9.5x (9.1x to 9.9x, 4 rounds)``."""
        return f"{self.ratio:.3g}x ({self.interval}, {self.rounds} round{'s' * (self.rounds != 1)})"

    @property
    def interval(self) -> str:
        """``9.1x to 9.9x``."""
        is_known = self.high <= MAX_WIDTH * self.low
        return f"{self.low:.3g}x to {self.high:.3g}x" if is_known else "interval unknown"


def speed(before: Sequence[float], after: Sequence[float], comparisons: int = 1) -> Speed:
    """Going from one to the other, of samples per second by round; widened for so many ``comparisons``."""
    rounds = min(len(before), len(after))
    # Effects are of what is better when lower: the time of a sample, today's as the unit.
    unit = median(before[:rounds])
    times = [{index: unit / value for index, value in enumerate(values[:rounds])} for values in (before, after)]
    found = effect(times[0], times[1], comparisons)
    ratio, low, high = (_ratio(gain) for gain in (found.gain, found.low, found.high))
    return Speed(unit, median(after[:rounds]), ratio, low, high, rounds)


def best_workers(throughput: Mapping[str, Any]) -> tuple[int, Speed] | None:
    """Of the worker counts of a ``throughput`` fact the smallest that is about as fast as the fastest, and its speed.

    None where no other count than today's was measured.
    """
    today, *others = throughput["variants"] or [{}]
    tried = [item for item in others if item["batch_size"] == today["batch_size"] and item["samples_per_s"]]
    if not tried or not today["samples_per_s"]:
        return None
    best = max(median(item["samples_per_s"]) for item in tried)
    enough = [item for item in tried if median(item["samples_per_s"]) * MIN_SPEEDUP >= best]
    chosen = min(enough, key=lambda item: int(item["workers"]))
    return int(chosen["workers"]), speed(today["samples_per_s"], chosen["samples_per_s"], len(tried))


def why_untried(throughput: Mapping[str, Any]) -> str:
    """Why no count of workers was measured; empty where one was."""
    if best_workers(throughput) is not None:
        return ""
    others = [f"with {item['workers']} workers: {item['failed']}" for item in throughput["variants"] if item["failed"]]
    return str(throughput["failed"] or next(iter(others), ""))


def _rate(per_s: float) -> str:
    return f"{per_s:.0f}" if per_s >= 100 else f"{per_s:.3g}"


def _ratio(gain: float) -> float:
    return 1 / (1 - gain) if gain < 1 else math.inf
