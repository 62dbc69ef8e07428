"""The user's data as they give it: tensors, arrays, data sets or loaders, each split by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
)

from preflight.core.errors import TaskError, alternatives
from preflight.tasks.data import Collated, Data, InMemory, Roles, Source, named, read_batch
from preflight.tasks.kept import Kept, Room
from preflight.tasks.memory import room_bytes
from preflight.tasks.reader import Reader
from preflight.tasks.unreadable import Unreadable

TARGET_NAMES = ("target", "targets", "label", "labels", "y")
NO_NUMBERS = "OUSM"  # kinds of numpy's: objects, texts, bytes, dates


def read_data(given: Any, roles: Roles, device: torch.device, processes: int = 1) -> Data:
    """Take ``(train, validation)`` in any of the usual forms; raises :class:`TaskError` where it is something else.

    ``processes`` of this machine hold the data, each by itself, and share the memory for samples that are kept.
    """
    parts = given
    if isinstance(given, Mapping) and set(given) == {"train", "validation"}:
        parts = given["train"], given["validation"]
    if not isinstance(parts, Sequence) or len(parts) != 2:
        raise TaskError(f"model.data must give (train, validation), got {_described(given)}")
    loader = parts[0] if isinstance(parts[0], DataLoader) else None
    room = Room(room_bytes(processes))
    train, validation = (
        _source(part, where, roles, device, room) for part, where in zip(parts, ("train", "validation"), strict=True)
    )
    settled = _roles(_fields(train, "train"), roles, "train")
    _roles(_fields(validation, "validation"), settled, "validation")
    if loader is None:
        return Data(train, validation, settled)
    return Data(train, validation, settled, loader.batch_size, loader.drop_last)


def _source(part: Any, where: str, roles: Roles, device: torch.device, room: Room) -> Source:
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
        source = _in_memory(named(tensors, names, f"the {where} data"), where, device)
    else:
        unreadable = Unreadable(where)
        reader = Reader(part, unreadable, Kept(room, len(part), unreadable.errors))
        source = Collated(reader, collate, names, device)
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


def _fields(source: Source, where: str) -> tuple[str, ...]:
    """Names of the fields of the first sample; raises :class:`TaskError` where it cannot be read."""
    first = torch.zeros(1, dtype=torch.long)
    return tuple(read_batch(source, first, f"a sample of the {where} data cannot be read"))


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
