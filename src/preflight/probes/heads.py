"""What a loss receives: the last operation of the head, the range that it bounds the output to, and statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Autograd nodes that only move values about; the name of a node ends in "Backward" and a digit.
MOVES = frozenset(
    ("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "T", "Transpose", "Permute", "Expand", "Clone")
) | frozenset(("ToCopy", "Select", "Slice", "Alias"))
RANGES = {
    "Relu": (0.0, math.inf),
    "Sigmoid": (0.0, 1.0),
    "Tanh": (-1.0, 1.0),
    "Softmax": (0.0, 1.0),
    "LogSoftmax": (-math.inf, 0.0),
    "LogSigmoid": (-math.inf, 0.0),
    "LogSigmoidForward": (-math.inf, 0.0),
    "Softplus": (0.0, math.inf),
    "Hardsigmoid": (0.0, 1.0),
    "Exp": (0.0, math.inf),
    "Abs": (0.0, math.inf),
    "Elu": (-1.0, math.inf),
}
NAMES = {"Relu": "relu", "LogSoftmax": "log_softmax", "LogSigmoidForward": "log_sigmoid", "LogSigmoid": "log_sigmoid"}


@dataclass(frozen=True)
class Head:
    """Last operation of a head and the range it bounds the output to; ``units`` are those that a softmax is over."""

    activation: str
    low: float
    high: float
    units: int | None = None


def head_of(output: Tensor) -> Head | None:
    """The operation that ends the head, read off the graph; None where its output is unbounded or not known."""
    node: Any = output.grad_fn
    while node is not None and _operation(node) in MOVES:
        node = node.next_functions[0][0] if node.next_functions else None
    kind = "" if node is None else _operation(node)
    if kind in ("Clamp", "Hardtanh"):
        low, high = (_limit(node, (f"_saved_{end}", f"_saved_{end}_val")) for end in ("min", "max"))
        return Head("clamp", -math.inf if low is None else low, math.inf if high is None else high)
    if kind not in RANGES:
        return None
    low, high = RANGES[kind]
    return Head(NAMES.get(kind, kind.lower()), low, high, _softmax_units(node) if "Softmax" in kind else None)


def _operation(node: Any) -> str:
    return str(node.name()).split("Backward", maxsplit=1)[0]


def _limit(node: Any, names: tuple[str, str]) -> float | None:
    value = next((getattr(node, name) for name in names if getattr(node, name, None) is not None), None)
    return None if value is None else float(value)


def _softmax_units(node: Any) -> int | None:
    result, axis = getattr(node, "_saved_result", None), getattr(node, "_saved_dim", None)
    if result is None or axis is None or not result.ndim:
        return None
    axis = axis - 2**64 if axis >= 2**63 else axis  # autograd keeps it unsigned
    return int(result.shape[axis])


def statistics(output: Tensor) -> dict[str, Any]:
    """Of ``output[B, ...]``: minimum, maximum, mean, deviation, share of zeros, whether rows are probabilities."""
    values = output.detach().double()
    if not values.numel() or values.is_complex():
        return {}
    return {
        "output_shape": list(values.shape[1:]),
        "output_min": float(values.min()),
        "output_max": float(values.max()),
        "output_mean": float(values.mean()),
        "output_std": float(values.std(correction=0)),
        "output_zeros": float((values == 0).double().mean()),
        "rows_sum_to_one": sums_to_one(values, 1),
        "rows_are_log_probabilities": bool((values <= 0).all()) and sums_to_one(values.exp(), 1),
        "columns_sum_to_one": sums_to_one(values, 0),
        "columns_are_log_probabilities": bool((values <= 0).all()) and sums_to_one(values.exp(), 0),
    }


def sums_to_one(values: Tensor, axis: int) -> bool:
    """Whether ``values`` are nonnegative and sum to one along ``axis``, of which there must be two at least."""
    if values.ndim < 2 or values.shape[axis] < 2 or bool((values < 0).any()):
        return False
    return bool(torch.allclose(values.sum(dim=axis), torch.ones((), dtype=values.dtype), atol=1e-3))


def target_statistics(target: Tensor) -> dict[str, Any]:
    """Of ``target[B, ...]``: minimum, maximum, mean, deviation, and whether it holds whole numbers."""
    values = target.detach().double()
    return {
        "target_min": float(values.min()),
        "target_max": float(values.max()),
        "target_mean": float(values.mean()),
        "target_std": float(values.std(correction=0)),
        "target_whole": not target.is_floating_point(),
    }
