"""Metrics ``function(output, target)`` over a whole validation set."""

from __future__ import annotations

from torch import Tensor


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Share of samples whose largest of ``output[B, C]`` is at class ``target[B]``."""
    return (output.argmax(dim=-1) == target).float().mean()


def mean_absolute_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean of ``|output - target|``, in the units of the target."""
    return (output - target).abs().mean()
