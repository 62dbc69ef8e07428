"""What can be wrong with the layers of a perceptron on digits: around them, at their beginning, frozen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.programs.digits_mlp import BASE, momentum, network, sgd, task


class Then(nn.Module):
    """A network, and what its author put behind it."""

    def __init__(self, inner: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.function = inner, function

    def forward(self, values: Tensor) -> Tensor:
        """Output of the function."""
        return self.function(self.inner(values))


class Before(Then):
    """A network, and what its author put in front of it."""

    def forward(self, values: Tensor) -> Tensor:
        """Output of the network."""
        return self.inner(self.function(values))


def behind(function: Callable[[Tensor], Tensor], **options: Any) -> Callable[..., nn.Module]:
    """Factory of the network with ``function`` behind it."""
    return lambda: Then(network(**options), function)


def in_front(function: Callable[[Tensor], Tensor], **options: Any) -> Callable[..., nn.Module]:
    """Factory of the network with ``function`` in front of it."""
    return lambda: Before(network(**options), function)


def initialized(change: Callable[[nn.Linear, int], object], **options: Any) -> Callable[..., nn.Module]:
    """Factory of the network whose linear layers, numbered from 0, are ``change``d at the beginning."""

    def build() -> nn.Module:
        model = network(**options)
        layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
        with torch.no_grad():
            for number, layer in enumerate(layers):
                change(layer, number)
        return model

    return build


def _dead_bias(layer: nn.Linear, number: int) -> None:
    if number == 0:
        layer.bias.fill_(-20.0)


def _zeros(layer: nn.Linear, _number: int) -> None:
    layer.weight.zero_()
    layer.bias.zero_()


def _constant(layer: nn.Linear, _number: int) -> None:
    layer.weight.fill_(0.05)
    layer.bias.zero_()


def _large(layer: nn.Linear, _number: int) -> None:
    layer.weight.mul_(12.0)


def _large_head(layer: nn.Linear, number: int) -> None:
    if number == 2:
        layer.weight.mul_(1000.0)


def _frozen_trunk() -> nn.Module:
    model = network(depth=3)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("6."))
        if not parameter.requires_grad:
            nn.init.normal_(parameter, std=0.02)
    return model


def _log_of_softmax(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy by hand: the softmax underflows to zero."""
    return -torch.softmax(output, dim=1)[torch.arange(len(target)), target].log().mean()


_case = BASE.faulty
BOUNDED = ("PF407", "PF408")

FAULTY = (
    _case(
        "log_of_pixels",
        "the model takes the logarithm of pixels that are 0",
        ("PF108", "PF305"),
        lambda: task().but(factory=in_front(torch.log)),
    ),
    _case(
        "log_of_softmax",
        "log(softmax(x)) by hand underflows once logits are large",
        ("PF108",),
        lambda: momentum(0.1, losses={"cross_entropy": _log_of_softmax}, factory=behind(lambda x: 60 * x)),
    ),
    _case(
        "dead_relu",
        "biases of the first layer are -20: every ReLU is dead",
        ("PF702", "PF103", "PF107"),
        lambda: task().but(factory=initialized(_dead_bias)),
    ),
    _case("zero_init", "all weights begin at zero", ("PF107",), lambda: task().but(factory=initialized(_zeros))),
    _case(
        "constant_init",
        "all weights begin at 0.05: units stay alike",
        ("PF107",),
        lambda: task().but(factory=initialized(_constant)),
    ),
    _case(
        "large_init",
        "all weights are 12 times as large as they should be at first",
        ("PF107",),
        lambda: task().but(factory=initialized(_large)),
    ),
    _case(
        "large_head",
        "the head's weights are 1,000 times too large: the first loss is above 50",
        ("PF405", "PF107"),
        lambda: sgd(0.003, factory=initialized(_large_head)),
    ),
    _case(
        "deep_sigmoid",
        "14 layers of sigmoids: no gradient reaches the first",
        ("PF102", "PF107"),
        lambda: momentum(0.05, factory=partial(network, depth=14, activation="sigmoid")),
    ),
    _case("dropout_0.95", "dropout of 0.95", ("PF409", "PF505"), lambda: task(dropout=0.95)),
    _case(
        "double_softmax",
        "a softmax in the model, and another in the cross-entropy",
        ("PF408",),
        lambda: task().but(factory=behind(partial(torch.softmax, dim=1))),
    ),
    _case(
        "sigmoid_head", "a sigmoid before the cross-entropy", BOUNDED, lambda: task().but(factory=behind(torch.sigmoid))
    ),
    _case(
        "relu_head",
        "a ReLU before the cross-entropy",
        (*BOUNDED, "PF702"),
        lambda: momentum(0.05, factory=behind(torch.relu)),
    ),
    _case(
        "frozen_trunk",
        "all but the last layer is frozen at random weights of 0.02",
        ("PF104",),
        lambda: task().but(factory=_frozen_trunk),
    ),
    _case(
        "batch_norm_batch_2", "batch norm with batches of 2", ("PF506",), lambda: task(norm="batch").but(batch_size=2)
    ),
    _case(
        "batch_norm_batch_3",
        "batch norm with batches of 3",
        ("PF506",),
        lambda: task(norm="batch", depth=3).but(batch_size=3),
    ),
    _case(
        "ignored_input",
        "the model multiplies its input by zero",
        ("PF410",),
        lambda: task().but(factory=in_front(lambda x: 0 * x)),
    ),
)
