"""How much of a task is looked at before training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """Training samples that statistics are of, and batches that losses and gradients are measured on.

    None: as many as tell enough, and as a model is quick enough for.
    """

    samples: int | None = None
    loss_batches: int | None = None


AS_USUAL = Extent()
