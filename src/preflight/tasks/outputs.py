"""What a model gives back, in whatever structure: a tensor, a mapping, a tuple or list, a dataclass, an object."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

DEEPEST = 4
"""Levels that a structure is followed down: an object may hold itself."""
NUMBERS = (bool, int, float, complex, str, bytes, type(None), np.ndarray, np.generic, torch.dtype, torch.device)
WHOLE = (Tensor, *NUMBERS, type, nn.Module)
"""What is never looked into."""
Path = tuple[Any, ...]
"""Keys, positions and attributes that lead to a tensor of an output; none where the output is one itself."""


def members(output: Any) -> dict[Any, Any]:
    """Items of an output by key, position or attribute; none of what has no items."""
    if isinstance(output, Mapping):
        return dict(output)
    if isinstance(output, tuple | list):
        return dict(enumerate(output))
    return {} if isinstance(output, WHOLE) else dict(getattr(output, "__dict__", {}))


def tensors_of(output: Any, depth: int = DEEPEST) -> dict[Path, Tensor]:
    """Every tensor of an output, by the path to it."""
    if isinstance(output, Tensor):
        return {(): output}
    inner = members(output) if depth else {}
    return {(key, *path): item for key, part in inner.items() for path, item in tensors_of(part, depth - 1).items()}


def is_known(output: Any, depth: int = DEEPEST) -> bool:
    """Whether all that an output holds can be looked at: a closure or an object with slots may hide a tensor."""
    if isinstance(output, (Tensor, *NUMBERS)):
        return True
    if not depth or not (isinstance(output, Mapping | tuple | list) or hasattr(output, "__dict__")):
        return False
    return not callable(output) and all(is_known(item, depth - 1) for item in members(output).values())


def replaced(tensors: Mapping[Path, Tensor], output: Any) -> Any:
    """``tensors`` in place of those of ``output``, in its structure; those that are not named are cut off the graph."""
    return _replaced({**{path: item.detach() for path, item in tensors_of(output).items()}, **tensors}, output)


def mapped(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """An output with every tensor changed, in its structure."""
    return _replaced({path: change(item) for path, item in tensors_of(output).items()}, output)


def detached(output: Any) -> Any:
    """An output cut off the graph."""
    return mapped(output, Tensor.detach)


def has_graph(output: Any) -> bool:
    """Whether a gradient flows from anything in an output."""
    return any(item.requires_grad for item in tensors_of(output).values())


def joined(outputs: Sequence[Any]) -> Any:
    """Outputs of several batches as one of all samples; what holds no tensor is the first one's."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return torch.cat(list(outputs))
    if not isinstance(first, Mapping | tuple | list) and not is_dataclass(first):
        return first
    parts = [members(output) for output in outputs]
    return _rebuilt(first, {key: joined([part[key] for part in parts]) for key, item in parts[0].items()})


def _replaced(tensors: Mapping[Path, Tensor], output: Any) -> Any:
    if () in tensors:
        return tensors[()]
    below: dict[Any, dict[Path, Tensor]] = {}
    for (key, *rest), item in tensors.items():
        below.setdefault(key, {})[tuple(rest)] = item
    inner = members(output)
    return _rebuilt(output, {key: _replaced(found, inner[key]) for key, found in below.items()})


def _rebuilt(output: Any, items: Mapping[Any, Any]) -> Any:
    """A copy of an output with ``items`` in place of its members of the same keys."""
    if not items:
        return output
    if isinstance(output, tuple | list):
        kept = [items.get(index, item) for index, item in enumerate(output)]
        return type(output)(*kept) if hasattr(output, "_fields") else type(output)(kept)
    if isinstance(output, Mapping) and not isinstance(output, MutableMapping):
        return {**output, **items}
    found = copy.copy(output)
    for key, item in items.items():
        if isinstance(found, MutableMapping):
            found[key] = item
        else:
            object.__setattr__(found, key, item)  # a dataclass may be frozen
    return found
