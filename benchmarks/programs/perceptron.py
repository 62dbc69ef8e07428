"""A plain perceptron of any size, and what its author may do to its first weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.programs.digits_mlp import ACTIVATIONS, NORMS

Build = Callable[[], nn.Module]


def perceptron(
    inputs: int,
    width: int = 64,
    depth: int = 2,
    activation: str = "relu",
    norm: str = "none",
    dropout: float = 0.0,
    last: Build = nn.Identity,
) -> nn.Sequential:
    """``[B, inputs]`` -> ``[B, 1]``."""
    layers: list[nn.Module] = []
    for number in range(depth):
        layers += [nn.Linear(width if number else inputs, width), NORMS[norm](width), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(width, 1), last())


def initialized(build: Build, change: Callable[[nn.Linear, int], object]) -> Build:
    """Factory of a network whose linear layers, numbered from 0, are changed at the beginning."""

    def built() -> nn.Module:
        model = build()
        with torch.no_grad():
            for number, layer in enumerate(item for item in model.modules() if isinstance(item, nn.Linear)):
                change(layer, number)
        return model

    return built


def first_bias_of_minus_10(layer: nn.Linear, number: int) -> None:
    """Every ReLU of the first layer is dead."""
    if number == 0:
        layer.bias.fill_(-10.0)


def zeros(layer: nn.Linear, _number: int) -> None:
    """All weights begin at zero."""
    layer.weight.zero_()
    layer.bias.zero_()


def alike(layer: nn.Linear, _number: int) -> None:
    """All weights begin at a tenth."""
    layer.weight.fill_(0.1)
    layer.bias.zero_()


def times_30(layer: nn.Linear, _number: int) -> None:
    """All weights begin 30 times as large as they should be."""
    layer.weight.mul_(30.0)


def frozen_at_a_hundredth(layer: nn.Linear, number: int) -> None:
    """The first layer stays at a hundredth of its usual weights."""
    if number == 0:
        layer.weight.mul_(0.01)
        layer.requires_grad_(False)


def summed_square(output: Tensor, target: Tensor) -> Tensor:
    """Squared error, summed over the batch."""
    return F.mse_loss(output, target, reduction="sum")
