"""What is done to a task of several fields, losses and heads to make it a faulty one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.programs.digits_mlp import Data

Losses = Mapping[str, Mapping[str, Any]]


def with_field(
    data: Callable[[], Any], field: str, change: Callable[[Tensor], Tensor], everywhere: bool = True
) -> Callable[[], Any]:
    """The data with one field changed, in both splits or in training only."""

    def load() -> Any:
        train, validation = data()
        new = {**validation, field: change(validation[field])} if everywhere else validation
        return {**train, field: change(train[field])}, new

    return load


def with_loss(losses: Losses, name: str, function: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Any]:
    """The losses with another function for one of them."""
    return {**losses, name: {**losses[name], "function": function}}


def shuffled(values: Tensor, seed: int = 5) -> Tensor:
    """The rows in another order."""
    return values[torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))]


def with_labels_shuffled(data: Callable[[], Data], seed: int) -> Data:
    """The data with training labels of other samples."""
    (inputs, labels), validation = data()
    return (inputs, shuffled(labels, seed)), validation


def changed(factory: Callable[[], nn.Module], change: Callable[[nn.Module], object]) -> Callable[[], nn.Module]:
    """A factory of models that are ``change``d at the beginning."""

    def build() -> nn.Module:
        model = factory()
        with torch.no_grad():
            change(model)
        return model

    return build


def scaled(name: str, factor: float) -> Callable[[nn.Module], object]:
    """All parameters of a part times ``factor``."""

    def change(model: nn.Module) -> None:
        for parameter in model.get_submodule(name).parameters():
            parameter.mul_(factor)

    return change


def frozen(name: str) -> Callable[[nn.Module], object]:
    """A part that is not trained."""
    return lambda model: model.get_submodule(name).requires_grad_(False)
