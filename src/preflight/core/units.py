"""Lengths of a run and of its warmup, in the units that people write them in."""

from __future__ import annotations

import math
from dataclasses import dataclass

UNITS = ("steps", "epochs", "samples", "fraction")


@dataclass(frozen=True)
class RunLength:
    """How long a training run is: ``horizon_steps`` optimizer steps of ``batch_size`` samples out of ``train_size``."""

    horizon_steps: int
    batch_size: int
    train_size: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the data; the last batch may be short."""
        return math.ceil(self.train_size / self.batch_size)

    def at_batch_size(self, batch_size: int) -> RunLength:
        """The run that sees as many samples at another batch size."""
        steps = max(1, round(self.horizon_steps * self.batch_size / batch_size))
        return RunLength(steps, batch_size, self.train_size)

    def to_fraction(self, value: float, unit: str) -> float:
        """Share of the run that ``value`` units are."""
        return value / self._units_in_run(unit)

    def from_fraction(self, fraction: float, unit: str) -> int | float:
        """``fraction`` of the run, in units; steps and samples are whole numbers, epochs have two decimals."""
        value = fraction * self._units_in_run(unit)
        if unit in ("steps", "samples"):
            return round(value)
        return round(value, 2) if unit == "epochs" else fraction

    def _units_in_run(self, unit: str) -> float:
        return {
            "steps": float(self.horizon_steps),
            "epochs": self.horizon_steps / self.steps_per_epoch,
            "samples": float(self.horizon_steps * self.batch_size),
            "fraction": 1.0,
        }[unit]


def split_unit(name: str) -> tuple[str, str] | None:
    """``warmup_epochs`` -> ``("warmup", "epochs")``; None for names that carry no unit."""
    stem, _, unit = name.rpartition("_")
    return (stem, unit) if stem in ("warmup", "horizon") and unit in UNITS else None
