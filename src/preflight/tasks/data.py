"""The user's data, however it comes, as batches of named tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from preflight.core.errors import TaskError
from preflight.tasks.reader import Reader

Batch = dict[str, Tensor]
# Kinds of a field whose values are amounts: they can be normalized, whatever their dtype.
QUANTITIES = ("continuous", "heavy_tailed", "count", "image")
# How much of a split is looked at before training: fewer samples where each is large.
MAX_SAMPLES, MIN_SAMPLES, MAX_SAMPLE_VALUES = 4096, 256, 2**24


class Source(Protocol):
    """Samples by number, as a batch of named tensors."""

    def __len__(self) -> int:
        """Number of samples."""

    def batch(self, indices: Tensor) -> Batch:
        """Samples at ``indices[B]``, stacked along the first axis."""


@dataclass(frozen=True)
class InMemory:
    """Tensors of equal first size, kept on the training device."""

    tensors: Batch

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def batch(self, indices: Tensor) -> Batch:
        """Rows at ``indices[B]``."""
        return {name: tensor[indices] for name, tensor in self.tensors.items()}


@dataclass(frozen=True)
class Collated:
    """A map-style data set whose samples are fetched and collated when they are needed."""

    reader: Reader
    collate: Callable[[list[Any]], Any]
    names: tuple[str, ...]
    device: torch.device

    def __len__(self) -> int:
        return len(self.reader)

    def batch(self, indices: Tensor) -> Batch:
        """Collated samples at ``indices[B]``, on the training device; others in place of those that cannot be read."""
        return self.on_device(self.collate(self.reader.fetch(indices.tolist())))

    def on_device(self, batch: Any) -> Batch:
        """What the collate function gives, by the names of its fields, on the training device."""
        fields = batch if isinstance(batch, Mapping) else named(batch, self.names, "a sample")
        return {str(name): torch.as_tensor(value).to(self.device) for name, value in fields.items()}


def uncached(source: Source) -> Source:
    """The same samples, each of them fetched whenever it is asked for."""
    return replace(source, reader=replace(source.reader, kept=None)) if isinstance(source, Collated) else source


def _readable(source: Source, numbers: Tensor) -> Tensor:
    """Those of ``numbers[N]`` that no other sample stands in for."""
    failed = source.reader.unreadable.errors if isinstance(source, Collated) else {}
    return torch.tensor([number for number in numbers.tolist() if number not in failed]) if failed else numbers


@dataclass(frozen=True)
class Roles:
    """Which fields go to the model, in its order, and which to the losses.

    ``quantities`` are inputs that hold amounts although they may come as integers.
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    quantities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Data:
    """Training and validation samples; ``batch_size`` and ``drop_last`` are the training loader's, if there is one."""

    train: Source
    validation: Source
    roles: Roles
    batch_size: int | None = None
    drop_last: bool = False

    @property
    def spared_s(self) -> float:
        """Seconds that fetching would have taken besides, had no sample been kept."""
        kept = [part.reader.kept for part in (self.train, self.validation) if isinstance(part, Collated)]
        return sum(item.spared_s for item in kept if item is not None)

    def reading(self) -> dict[str, Any]:
        """What this process met while it fetched, by split, as :meth:`Unreadable.as_dict` has it; of data in memory
        nothing.
        """
        parts = {"training": self.train, "validation": self.validation}
        fetched = {name: part for name, part in parts.items() if isinstance(part, Collated)}
        return {name: part.reader.unreadable.as_dict(len(part)) for name, part in fetched.items()}

    def numeric_inputs(self) -> tuple[str, ...]:
        """Inputs that hold quantities, which can be normalized; masks, tokens and undeclared integers do not."""
        sample = self.train.batch(torch.zeros(1, dtype=torch.long))
        numbers = {name for name, tensor in sample.items() if is_numeric(tensor) or name in self.roles.quantities}
        return tuple(name for name in self.roles.inputs if name in numbers)


def spread(size: int, count: int) -> Tensor:
    """Numbers of at most ``count`` samples, evenly spread over ``size``."""
    # In float32 the last of more than 16 million would be rounded to one that is not there.
    return torch.linspace(0, size - 1, min(size, count), dtype=torch.float64).long()


def take_samples(source: Source, where: str = "train", *, most: int | None = None) -> tuple[Tensor, Batch]:
    """Numbers of some samples, evenly spread, and the batch they make: what is looked at before training.

    ``most`` of them; without that, fewer where each is large. Raises :class:`TaskError` where they cannot be read
    together; ``where`` names the split in it.
    """
    first = source.batch(torch.zeros(1, dtype=torch.long))
    widest = max(tensor.numel() for tensor in first.values())
    count = most or min(MAX_SAMPLES, max(MIN_SAMPLES, MAX_SAMPLE_VALUES // max(1, widest)))
    numbers, failure = spread(len(source), count), f"samples of the {where} data cannot be read as one batch"
    batch = read_batch(source, numbers, failure)
    readable = _readable(source, numbers)
    return (numbers, batch) if len(readable) == len(numbers) else (readable, read_batch(source, readable, failure))


def is_numeric(tensor: Tensor) -> bool:
    """Whether a field holds quantities: floating point, or bytes as images come."""
    return tensor.is_floating_point() or tensor.dtype == torch.uint8


def named(values: Sequence[Any], names: tuple[str, ...], what: str) -> dict[str, Any]:
    """Fields by their names; raises :class:`TaskError` where there are more or fewer of them."""
    if len(values) != len(names):
        raise TaskError(
            f"{what} has {len(values)} fields and {len(names)} names ({', '.join(names)}); "
            "name them all in model.inputs and model.targets"
        )
    return dict(zip(names, values, strict=True))


def read_batch(source: Source, numbers: Tensor, failure: str) -> Batch:
    """Samples at ``numbers[B]``; raises :class:`TaskError`, which ``failure`` begins, where they cannot be read."""
    try:
        return source.batch(numbers)
    except TaskError:
        raise
    except Exception as error:  # the user's data set or collate function
        reason = next(iter(str(error).splitlines()), "")
        raise TaskError(f"{failure}: {type(error).__name__}: {reason}") from error
