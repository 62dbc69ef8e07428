"""A multilayer perceptron on scikit-learn's digits, and most of what can be wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmarks.program import Base, Training
from preflight.tasks.metrics import accuracy

Split = tuple[Tensor, Tensor]
Data = tuple[Split, Split]
TRAIN_SIZE = 1297
STEPS_PER_EPOCH = 41  # of batches of 32
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda _: nn.Identity(),
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


@lru_cache(maxsize=1)
def _digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return torch.tensor(images[order], dtype=torch.float32), torch.tensor(labels[order], dtype=torch.long)


def digits(scale: float = 1 / 16, shift: float = 0.0) -> Data:
    """Train and validation split, pixels ``[N, 64]`` from 0 to 16 times ``scale``, labels ``[N]``."""
    pixels, labels = _digits()
    pixels = pixels * scale + shift
    return (pixels[:TRAIN_SIZE], labels[:TRAIN_SIZE]), (pixels[TRAIN_SIZE:], labels[TRAIN_SIZE:])


def network(
    depth: int = 2,
    width: int = 96,
    activation: str = "relu",
    norm: str = "none",
    dropout: float = 0.0,
    residual: bool = False,
    classes: int = 10,
) -> nn.Module:
    """``[B, 64]`` -> logits ``[B, 10]``."""
    layers: list[nn.Module] = [nn.Linear(64, width), NORMS[norm](width), ACTIVATIONS[activation]()]
    for _ in range(depth - 1):
        block = nn.Sequential(nn.Linear(width, width), NORMS[norm](width), ACTIVATIONS[activation]())
        layers.append(Residual(block) if residual else block)
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(width, classes))


class Residual(nn.Module):
    """``x + block(x)``."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, values: Tensor) -> Tensor:
        """Same shape in and out."""
        return values + self.block(values)


def task(**options: Any) -> Training:
    """Adam at 1e-3, pixels from 0 to 1."""
    return Training(
        factory=partial(network, **options),
        data=digits,
        losses={"cross_entropy": F.cross_entropy},
        baseline={"lr": 1e-3, "batch_size": 32},
        metric={"function": accuracy, "goal": "maximize", "name": "accuracy"},
        optimizer=torch.optim.Adam,
    )


def sgd(lr: float, **changes: Any) -> Training:
    """The base task with plain SGD."""
    return task().but(optimizer=torch.optim.SGD, lr=lr, **changes)


def momentum(lr: float, **changes: Any) -> Training:
    """The base task with SGD and momentum."""
    return task().but(optimizer=partial(torch.optim.SGD, momentum=0.9), lr=lr, **changes)


BASE = Base(
    "digits_mlp",
    "mlp",
    task,
    variants={
        "relu": {},
        "batch_norm": {"norm": "batch"},
        "layer_norm_residual": {"norm": "layer", "residual": True, "depth": 3, "activation": "gelu"},
        "tanh": {"activation": "tanh"},
        "dropout": {"dropout": 0.2, "width": 128},
    },
    rates={"sgd": (0.03, 0.1), "adam": (1e-3, 3e-3), "adamw": (1e-3, 3e-3), "rmsprop": (1e-3, 3e-4)},
)
HEALTHY = BASE.healthy()
