"""Samples made of plain values: copied, measured and compared to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

SCALARS = (bool, int, float, complex, str, bytes, type(None))
# What an object of Python's takes besides its value.
OVERHEAD_BYTES = 64


def copied(sample: Any) -> Any:
    """A copy that shares no memory; raises :class:`TypeError` where it holds anything that is not plain."""
    kind = type(sample)
    if kind in SCALARS or isinstance(sample, np.generic):
        return sample
    if _is_tensor(sample):
        return sample.clone()  # which keeps the order of the strides, and so the layout of a batch
    if kind is np.ndarray and not sample.dtype.hasobject:
        return sample.copy(order="K")
    if kind is dict:
        return {copied(name): copied(value) for name, value in sample.items()}
    if kind in (list, tuple):
        return kind(copied(value) for value in sample)
    if _is_named_tuple(sample):
        return kind(*(copied(value) for value in sample))
    raise TypeError(f"a {kind.__name__} is not plain")


def size_bytes(sample: Any) -> int:
    """Memory of a copy, about."""
    if isinstance(sample, Tensor):
        return OVERHEAD_BYTES + sample.numel() * sample.element_size()
    if isinstance(sample, np.ndarray):
        return OVERHEAD_BYTES + sample.nbytes
    if isinstance(sample, dict):
        return OVERHEAD_BYTES + sum(size_bytes(name) + size_bytes(value) for name, value in sample.items())
    if isinstance(sample, list | tuple):
        return OVERHEAD_BYTES + sum(size_bytes(value) for value in sample)
    return OVERHEAD_BYTES + (4 * len(sample) if isinstance(sample, str | bytes) else 0)


def is_same(one: Any, other: Any) -> bool:
    """Whether two plain samples are equal bit by bit, and so NaN to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        alike = one.shape == other.shape and one.dtype == other.dtype and one.device == other.device
        return alike and torch.equal(_bytes(one), _bytes(other))
    if isinstance(one, np.ndarray | np.generic):
        return bool(one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes())
    if isinstance(one, dict):
        return list(one) == list(other) and all(is_same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(is_same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other) or (repr(one) == repr(other) == "nan")


def _is_tensor(value: Any) -> bool:
    """A tensor in the memory of this machine, and nothing more."""
    is_strided = type(value) is Tensor and value.layout == torch.strided and not value.is_quantized
    return is_strided and value.device.type == "cpu" and not value.requires_grad


def _is_named_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
