"""The order in which training samples come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from preflight.core.errors import TaskError
from preflight.tasks.data import Batch, Source


@dataclass(frozen=True)
class Numbers:
    """A source whose samples are their own numbers: its batches tell in which order samples come."""

    size: int

    def __len__(self) -> int:
        return self.size

    def batch(self, indices: Tensor) -> Batch:
        """Batch whose one field is ``number[B]``."""
        return {"number": indices}


def endless_batches(
    source: Source, batch_size: int, *, shuffle: bool, seed: int, device: torch.device, drop_last: bool = False
) -> Iterator[Batch]:
    """Batches of ``batch_size`` samples, epoch after epoch; the last of an epoch may be short, or is dropped.

    Raises :class:`TaskError` if a batch is larger than the data.
    """
    size = len(source)
    if batch_size > size:
        raise TaskError(f"batch_size={batch_size} is larger than the {size} training samples")
    generator = torch.Generator().manual_seed(seed)
    on_device = device if hasattr(source, "tensors") else torch.device("cpu")
    while True:
        order = torch.randperm(size, generator=generator) if shuffle else torch.arange(size)
        for indices in order.to(on_device).split(batch_size):
            if not drop_last or len(indices) == batch_size:
                yield source.batch(indices)
