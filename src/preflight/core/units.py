"""Lengths of a run and of its warmup, in the units that people write them in."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

UNITS = ("steps", "epochs", "samples", "fraction")


@dataclass(frozen=True)
class RunLength:
    """How long a training run is: ``horizon_steps`` optimizer steps of ``batch_size`` samples out of ``train_size``.

    The last batch of an epoch is short where the batch size does not divide the data, or is left out (``drop_last``).
    """

    horizon_steps: int
    batch_size: int
    train_size: int
    drop_last: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the data."""
        if self.drop_last:
            return max(1, self.train_size // self.batch_size)
        return math.ceil(self.train_size / self.batch_size)

    @property
    def samples_seen(self) -> int:
        """Samples that the run trains on, each as often as it is seen."""
        epochs, steps = divmod(self.horizon_steps, self.steps_per_epoch)
        return epochs * self._samples_per_epoch + steps * self.batch_size

    @property
    def _samples_per_epoch(self) -> int:
        return self.steps_per_epoch * self.batch_size if self.drop_last else self.train_size

    def at_batch_size(self, batch_size: int) -> RunLength:
        """The run of at least one step at another batch size whose samples are nearest to those of this one.

        They differ by half a batch at most.
        """
        epoch = replace(self, batch_size=batch_size)
        epochs, samples = divmod(self.samples_seen, epoch._samples_per_epoch)
        steps = min(samples // batch_size, epoch.steps_per_epoch - 1)
        left = samples - steps * batch_size
        next_batch = min(batch_size, epoch._samples_per_epoch - steps * batch_size)
        nearest = epochs * epoch.steps_per_epoch + steps + (2 * left >= next_batch)
        return replace(epoch, horizon_steps=max(1, nearest))

    def to_fraction(self, value: float, unit: str) -> float:
        """Share of the run that ``value`` units are; samples are counted in full batches, as training code does."""
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
