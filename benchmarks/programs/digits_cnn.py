"""A small convolution net on scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.program import Base, Training
from benchmarks.programs.digits_mlp import ACTIVATIONS, Data, digits
from preflight.tasks.metrics import accuracy

CHANNELS = 12


def images(scale: float = 1 / 16) -> Data:
    """Images ``[N, 1, 8, 8]`` and labels ``[N]``."""
    (train, labels), (validation, others) = digits(scale)
    return (train.view(-1, 1, 8, 8), labels), (validation.view(-1, 1, 8, 8), others)


def network(
    activation: str = "relu", norm: str = "none", dropout: float = 0.0, last: Callable[[], nn.Module] = nn.Identity
) -> nn.Module:
    """``[B, 1, 8, 8]`` -> logits ``[B, 10]``."""
    norms: dict[str, Callable[[int], nn.Module]] = {
        "none": lambda _: nn.Identity(),
        "batch": nn.BatchNorm2d,
        "group": lambda channels: nn.GroupNorm(4, channels),
    }
    function, layer = ACTIVATIONS[activation], norms[norm]
    return nn.Sequential(
        nn.Conv2d(1, CHANNELS, 3, padding=1),
        layer(CHANNELS),
        function(),
        nn.MaxPool2d(2),
        nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, padding=1),
        layer(2 * CHANNELS),
        function(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(8 * CHANNELS, 10),
        last(),
    )


def task(**options: Any) -> Training:
    """SGD with momentum at 0.03, pixels from 0 to 1."""
    return Training(
        factory=partial(network, **options),
        data=images,
        losses={"cross_entropy": F.cross_entropy},
        baseline={"lr": 0.03, "batch_size": 32},
        metric={"function": accuracy, "goal": "maximize", "name": "accuracy"},
        optimizer=partial(torch.optim.SGD, momentum=0.9),
    )


BASE = Base(
    "digits_cnn",
    "cnn",
    task,
    variants={"relu": {}, "batch_norm": {"norm": "batch"}, "group_norm_gelu": {"norm": "group", "activation": "gelu"}},
    rates={"sgd": (0.03, 0.05), "adam": (3e-3, 5e-3), "adamw": (3e-3, 5e-3), "rmsprop": (1e-3, 2e-3)},
)
HEALTHY = BASE.healthy()


class Ignoring(nn.Module):
    """The user pools over everything but the batch before the first layer: the digit is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, batch: Tensor) -> Tensor:
        """Logits of a blank image."""
        return self.body(torch.ones_like(batch) * batch.mean())


def _slow_statistics() -> nn.Module:
    """Batch norm whose running statistics never catch up."""
    model = network(norm="batch")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1e-4
    return model


def _sum(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="sum")


_case = BASE.faulty

FAULTY = (
    _case(
        "so_47352366",
        "a ReLU in place of a linear head before the cross-entropy (Stack Overflow 47352366)",
        ("PF407", "PF408", "PF702"),
        lambda: task(last=nn.ReLU),
    ),
    _case(
        "so_37624102",
        "SGD 0.1 with momentum 0.9 on raw pixels (Stack Overflow 37624102)",
        ("PF201", "PF301"),
        lambda: task().but(lr=0.1, data=partial(images, 255 / 16)),
    ),
    _case("sgd_0.5", "SGD 0.5 with momentum 0.9", ("PF201",), lambda: task().but(lr=0.5)),
    _case(
        "sgd_0.001",
        "SGD 0.001 without momentum",
        ("PF202",),
        lambda: task().but(lr=0.001, optimizer=torch.optim.SGD),
    ),
    _case("summed", "the loss is summed over the batch of 32", ("PF406",), lambda: task().but(losses={"ce": _sum})),
    _case("l2_of_0.1", "an L2 penalty of 0.1", ("PF409",), lambda: task().but(weight_decay=0.1)),
    _case(
        "running_statistics",
        "batch norm with a momentum of 1e-4",
        ("PF505",),
        lambda: task().but(factory=_slow_statistics),
    ),
    _case(
        "pooled_input", "the image is replaced by the batch's mean", ("PF410",), lambda: task().but(factory=Ignoring)
    ),
    _case(
        "softmax_head", "a softmax before the cross-entropy", ("PF408",), lambda: task(last=partial(nn.Softmax, dim=1))
    ),
    _case("tanh_head", "a tanh before the cross-entropy", ("PF407", "PF408"), lambda: task(last=nn.Tanh)),
)
