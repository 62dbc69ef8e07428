"""What is true of a task: how it ends at every learning rate of a grid, on several seeds, trained to its horizon."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.lr_loop import train
from benchmarks.lr_tasks.base import GRID, LrTask
from preflight.telemetry import store

# Seeds of the truth; tools draw theirs from elsewhere.
FIRST_SEED = 7001
# Eighths of a decade on both sides of the best rate of the grid: a narrow valley lies between two rates of the grid,
# and the line between them would say that nothing there is as good as they are.
FINE = (-6, -3, -2, -1, 1, 2, 3, 6)
# Rates that end within this much of the best one are as good as it.
AS_GOOD = 0.05


@dataclass(frozen=True)
class Truth:
    """Validation losses at the end, by learning rate and seed; infinite for runs that were lost.

    ``losses`` are of the grid, which says what is best; ``fine`` of rates around that. The loss of a rate is the median
    over its seeds; between two rates the line in logarithms, beyond the ends of the grid that of the last one.
    """

    losses: Mapping[float, Sequence[float]]
    fine: Mapping[float, Sequence[float]] = field(default_factory=dict)

    @property
    def best_lr(self) -> float:
        """Rate of the grid with the lowest loss."""
        return min(self.losses, key=self._median)

    @property
    def best_loss(self) -> float:
        """The loss there."""
        return self._median(self.best_lr)

    @property
    def fine_best_lr(self) -> float:
        """Rate of all with the lowest loss, each averaged with its neighbours: noise picks no rate."""
        rates = sorted(self._all)
        inner = range(1, len(rates) - 1)
        smooth = {rates[i]: sum(self._median(rates[j]) for j in (i - 1, i, i, i + 1)) for i in inner}
        return min(smooth, key=smooth.__getitem__, default=self.best_lr)

    @property
    def as_good(self) -> tuple[float, float]:
        """Lowest and highest rate around the best one that end within :data:`AS_GOOD` of it."""
        rates = sorted(self._all)
        low = high = rates.index(self.best_lr)
        while low > 0 and self.regret(rates[low - 1]) <= AS_GOOD:
            low -= 1
        while high + 1 < len(rates) and self.regret(rates[high + 1]) <= AS_GOOD:
            high += 1
        return rates[low], rates[high]

    @property
    def seeds_pick(self) -> list[float]:
        """The best rate by every seed alone: how well one run of the whole grid would have told."""
        count = min(len(values) for values in self.losses.values())
        return [min(self.losses, key=lambda lr: self.losses[lr][seed]) for seed in range(count)]

    @property
    def noise(self) -> float:
        """Half the middle half of the seeds' losses at the best rate, as a share of the loss."""
        values = self.losses[self.best_lr]
        if len(values) < 2:
            return math.nan
        first, _, last = statistics.quantiles(values, n=4)
        return (last - first) / 2 / self.best_loss

    def loss_at(self, lr: float) -> float:
        """The loss at any rate."""
        rates = sorted(self._all)
        lr = min(max(lr, rates[0]), rates[-1])
        above = next(index for index, rate in enumerate(rates) if rate >= lr)
        low, high = rates[max(0, above - 1)], rates[above]
        if high in (lr, low):
            return self._median(high)
        ends = self._median(low), self._median(high)
        if not all(math.isfinite(end) for end in ends):
            return math.inf
        share = math.log(lr / low) / math.log(high / low)
        return math.exp((1 - share) * math.log(ends[0]) + share * math.log(ends[1]))

    def regret(self, lr: float) -> float:
        """How much higher the loss is than at the best rate, as a share of that."""
        return self.loss_at(lr) / self.best_loss - 1

    @property
    def _all(self) -> Mapping[float, Sequence[float]]:
        return {**self.losses, **self.fine}

    def _median(self, lr: float) -> float:
        return statistics.median(self._all[lr])


def measure(task: LrTask, path: Path, seeds: int) -> Truth:
    """Train the grid, then around its best rate, or take what ``path`` holds of it."""
    known: dict[str, list[float]] = store.read_json(path) if path.is_file() else {}
    truth = Truth({lr: _ends(task, lr, seeds, known, path) for lr in GRID})
    around = [float(f"{truth.best_lr * 10 ** (eighths / 8):.2g}") for eighths in FINE]
    return replace(truth, fine={lr: _ends(task, lr, seeds, known, path) for lr in around})


def _ends(task: LrTask, lr: float, seeds: int, known: dict[str, list[float]], path: Path) -> list[float]:
    found = known.setdefault(f"{lr:g}", [])
    if len(found) < seeds:
        found += [train(task, lr, FIRST_SEED + index) for index in range(len(found), seeds)]
        store.write_json(path, known)
    return found[:seeds]
