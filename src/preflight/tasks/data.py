"""The user's data, however it comes, as batches of named tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
)

from preflight.core.errors import TaskError, alternatives

Batch = dict[str, Tensor]
TARGET_NAMES = ("target", "targets", "label", "labels", "y")
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

    samples: Dataset[Any]
    collate: Callable[[list[Any]], Any]
    names: tuple[str, ...]
    device: torch.device

    def __len__(self) -> int:
        return len(self.samples)  # type: ignore[arg-type]  # checked to be sized in `source`

    def batch(self, indices: Tensor) -> Batch:
        """Collated samples at ``indices[B]``, on the training device."""
        batch = self.collate([self.samples[int(index)] for index in indices])
        named = batch if isinstance(batch, Mapping) else _named(batch, self.names, "a sample")
        return {str(name): torch.as_tensor(value).to(self.device) for name, value in named.items()}


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

    def numeric_inputs(self) -> tuple[str, ...]:
        """Inputs that hold quantities, which can be normalized; masks, tokens and undeclared integers do not."""
        sample = self.train.batch(torch.zeros(1, dtype=torch.long))
        numbers = {name for name, tensor in sample.items() if is_numeric(tensor) or name in self.roles.quantities}
        return tuple(name for name in self.roles.inputs if name in numbers)


def spread(size: int, count: int) -> Tensor:
    """Numbers of at most ``count`` samples, evenly spread over ``size``."""
    # In float32 the last of more than 16 million would be rounded to one that is not there.
    return torch.linspace(0, size - 1, min(size, count), dtype=torch.float64).long()


def take_samples(source: Source, where: str = "train") -> tuple[Tensor, Batch]:
    """Numbers of some samples, evenly spread, and the batch they make: what is looked at before training.

    Raises :class:`TaskError` where they cannot be read together; ``where`` names the split in it.
    """
    first = source.batch(torch.zeros(1, dtype=torch.long))
    widest = max(tensor.numel() for tensor in first.values())
    count = min(MAX_SAMPLES, max(MIN_SAMPLES, MAX_SAMPLE_VALUES // max(1, widest)))
    numbers = spread(len(source), count)
    return numbers, _read(source, numbers, f"samples of the {where} data cannot be read as one batch")


def is_numeric(tensor: Tensor) -> bool:
    """Whether a field holds quantities: floating point, or bytes as images come."""
    return tensor.is_floating_point() or tensor.dtype == torch.uint8


def read_data(given: Any, roles: Roles, device: torch.device) -> Data:
    """Take ``(train, validation)`` in any of the usual forms; raises :class:`TaskError` where it is something else."""
    parts = given
    if isinstance(given, Mapping) and set(given) == {"train", "validation"}:
        parts = given["train"], given["validation"]
    if not isinstance(parts, Sequence) or len(parts) != 2:
        raise TaskError(f"model.data must give (train, validation), got {_described(given)}")
    loader = parts[0] if isinstance(parts[0], DataLoader) else None
    train, validation = (
        _source(part, where, roles, device) for part, where in zip(parts, ("train", "validation"), strict=True)
    )
    settled = _roles(_fields(train, "train"), roles, "train")
    _roles(_fields(validation, "validation"), settled, "validation")
    if loader is None:
        return Data(train, validation, settled)
    return Data(train, validation, settled, loader.batch_size, loader.drop_last)


def _source(part: Any, where: str, roles: Roles, device: torch.device) -> Source:
    collate: Callable[[list[Any]], Any] = default_collate
    if isinstance(part, DataLoader):
        part, collate = _sampled(part, where), part.collate_fn
    names = (roles.inputs or ("input",)) + (roles.targets or ("target",))
    is_sized = hasattr(part, "__len__") and hasattr(part, "__getitem__")
    if isinstance(part, IterableDataset | Tensor | np.ndarray | str) or not is_sized:
        raise TaskError(
            f"the {where} data must be tensors, arrays, a map-style Dataset or its DataLoader, got {_described(part)}"
        )
    tensors = part.tensors if isinstance(part, TensorDataset) and collate is default_collate else part
    if isinstance(tensors, Mapping):
        source: Source = _in_memory(tensors, where, device)
    elif isinstance(tensors, tuple | list) and all(isinstance(item, Tensor | np.ndarray) for item in tensors):
        source = _in_memory(_named(tensors, names, f"the {where} data"), where, device)
    else:
        source = Collated(part, collate, names, device)
    if len(source) == 0:
        raise TaskError(f"the {where} data is empty")
    return source


def _sampled(loader: DataLoader[Any], where: str) -> Any:
    """The samples that a loader draws from: with a SubsetRandomSampler a part of its data set."""
    sampler = loader.sampler
    if isinstance(sampler, SubsetRandomSampler):
        return Subset(loader.dataset, list(sampler.indices))
    if type(sampler) not in (RandomSampler, SequentialSampler) and not isinstance(loader.dataset, IterableDataset):
        raise TaskError(
            f"the {where} loader draws its samples by a {type(sampler).__name__}, which is not followed: "
            "give the data set itself, or a torch.utils.data.Subset of it"
        )
    return loader.dataset


def _named(values: Sequence[Any], names: tuple[str, ...], what: str) -> dict[str, Any]:
    if len(values) != len(names):
        raise TaskError(
            f"{what} has {len(values)} fields and {len(names)} names ({', '.join(names)}); "
            "name them all in model.inputs and model.targets"
        )
    return dict(zip(names, values, strict=True))


def _fields(source: Source, where: str) -> tuple[str, ...]:
    """Names of the fields of the first sample; raises :class:`TaskError` where it cannot be read."""
    first = torch.zeros(1, dtype=torch.long)
    return tuple(_read(source, first, f"a sample of the {where} data cannot be read"))


def _read(source: Source, numbers: Tensor, failure: str) -> Batch:
    try:
        return source.batch(numbers)
    except TaskError:
        raise
    except Exception as error:  # the user's data set or collate function
        reason = next(iter(str(error).splitlines()), "")
        raise TaskError(f"{failure}: {type(error).__name__}: {reason}") from error


NO_NUMBERS = "OUSM"  # kinds of numpy's: objects, texts, bytes, dates


def _in_memory(fields: Mapping[Any, Any], where: str, device: torch.device) -> InMemory:
    if not fields:
        raise TaskError(f"the {where} data is empty: it has no fields")
    tensors = {}
    for name, value in fields.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in NO_NUMBERS:
            raise TaskError(
                f"field '{name}' of the {where} data has dtype {value.dtype}, where numbers or booleans are needed: "
                "encode texts as whole numbers, fill gaps, and give rows of equal length"
            )
        try:
            tensors[str(name)] = torch.as_tensor(value).to(device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TaskError(f"field '{name}' of the {where} data is not a tensor: {error}") from error
    for name, tensor in tensors.items():
        if tensor.ndim == 0:
            raise TaskError(f"field '{name}' of the {where} data is a single number, and no row for each sample")
    sizes = {name: len(tensor) for name, tensor in tensors.items()}
    if len(set(sizes.values())) > 1:
        raise TaskError(f"fields of the {where} data have different lengths: {sizes}")
    return InMemory(tensors)


def _roles(names: tuple[str, ...], roles: Roles, where: str) -> Roles:
    """Fill in what the user left out: a field with a usual name is the target, all others are inputs."""
    for name in (*roles.inputs, *roles.targets):
        if name not in names:
            raise TaskError(f"the {where} data has no field '{name}'; {alternatives(name, names)}")
    targets = roles.targets or tuple(name for name in names if name in TARGET_NAMES)
    if not targets:
        raise TaskError(f"which of the fields {', '.join(names)} is the target? Name it in model.targets")
    inputs = roles.inputs or tuple(name for name in names if name not in targets)
    return Roles(inputs, targets, roles.quantities)


def _described(value: Any) -> str:
    size = f" of {len(value)}" if hasattr(value, "__len__") else ""
    return f"{type(value).__name__}{size}"
