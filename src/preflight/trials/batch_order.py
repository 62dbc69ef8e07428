"""Which samples a training step saw."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor

from preflight.core.params import Params
from preflight.core.units import RunLength
from preflight.tasks.batches import Numbers, endless_batches
from preflight.tasks.data import Data, Source


def samples_of_step(data: Data, params: Params, seed: int, step: int) -> Tensor:
    """Numbers ``[B]`` of the training samples of a step, by the function that made its batch."""
    batches = endless_batches(
        Numbers(len(data.train)),
        params.batch_size,
        shuffle=params.shuffle,
        seed=seed,
        device=torch.device("cpu"),
        drop_last=data.drop_last,
    )
    return next(islice(batches, step, None))["number"]


def nonfinite_samples(source: Source, numbers: Tensor) -> list[int]:
    """Those of ``numbers[B]`` whose sample holds a NaN or an infinity in any of its fields."""
    bad = torch.zeros(len(numbers), dtype=torch.bool)
    for values in source.batch(numbers).values():
        if values.is_floating_point() and len(values) == len(numbers):  # a collate function may pack them otherwise
            bad |= ~values.isfinite().reshape(len(numbers), -1).all(dim=1).cpu()
    found: list[int] = numbers[bad].tolist()
    return found


def steps_per_epoch(data: Data, batch_size: int) -> int:
    """Training steps in one pass over the data."""
    return RunLength(1, batch_size, len(data.train), data.drop_last).steps_per_epoch
