"""A one-dimensional convolution net on generated signals, in the manner of MNIST-1D (arXiv 2011.14439)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.program import Base, Training
from benchmarks.programs.digits_mlp import ACTIVATIONS, Data
from preflight.tasks.metrics import accuracy

LENGTH, CLASSES, SAMPLES, TRAIN_SIZE = 40, 8, 2400, 1800


@lru_cache(maxsize=4)
def signals(scale: float = 1.0, drift: float = 0.0) -> Data:
    """Templates of 12 points, stretched, shifted, scaled and with noise: ``[N, 1, 40]`` and labels ``[N]``."""
    rng = np.random.default_rng(7)
    templates = np.cumsum(rng.normal(size=(CLASSES, 12)), axis=1)
    templates = (templates - templates.mean(axis=1, keepdims=True)) / templates.std(axis=1, keepdims=True)
    labels = rng.integers(CLASSES, size=SAMPLES)
    values = rng.normal(scale=0.2, size=(SAMPLES, LENGTH))
    for row, label in zip(values, labels, strict=True):
        width = int(rng.integers(14, 24))
        start = int(rng.integers(0, LENGTH - width))
        stretched = np.interp(np.linspace(0, 11, width), np.arange(12), templates[label])
        row[start : start + width] += rng.uniform(0.7, 1.3) * stretched
    batch = torch.tensor(values, dtype=torch.float32).unsqueeze(1) * scale
    numbers = torch.tensor(labels)
    return (batch[:TRAIN_SIZE], numbers[:TRAIN_SIZE]), (batch[TRAIN_SIZE:] + drift, numbers[TRAIN_SIZE:])


def network(activation: str = "relu", norm: str = "none", bias: float = 0.0) -> nn.Module:
    """``[B, 1, 40]`` -> logits ``[B, 8]``."""
    norms: dict[str, Callable[[int], nn.Module]] = {"none": lambda _: nn.Identity(), "batch": nn.BatchNorm1d}
    function, layer = ACTIVATIONS[activation], norms[norm]
    model = nn.Sequential(
        nn.Conv1d(1, 16, 5, stride=2, padding=2),
        layer(16),
        function(),
        nn.Conv1d(16, 24, 5, stride=2, padding=2),
        layer(24),
        function(),
        nn.Flatten(),
        nn.Linear(240, 48),
        function(),
        nn.Linear(48, CLASSES),
    )
    if bias:
        for module in model:
            if isinstance(module, nn.Conv1d) and module.bias is not None:
                nn.init.constant_(module.bias, bias)
    return model


def task(**options: Any) -> Training:
    """Adam at 3e-3, unit-scale signals."""
    return Training(
        factory=partial(network, **options),
        data=signals,
        losses={"cross_entropy": F.cross_entropy},
        baseline={"lr": 3e-3, "batch_size": 64},
        metric={"function": accuracy, "goal": "maximize", "name": "accuracy"},
        optimizer=torch.optim.Adam,
    )


BASE = Base(
    "signals",
    "cnn",
    task,
    variants={"relu": {}, "batch_norm": {"norm": "batch"}, "gelu": {"activation": "gelu"}},
    rates={"sgd": (0.03, 0.1), "adam": (3e-3, 5e-3), "adamw": (3e-3, 5e-3), "rmsprop": (1e-3, 3e-3)},
)
HEALTHY = BASE.healthy()


def _random_labels() -> Data:
    (values, labels), validation = signals()
    generator = torch.Generator().manual_seed(3)
    return (values, torch.randint(CLASSES, labels.shape, generator=generator)), validation


def _sorted() -> Data:
    (values, labels), validation = signals()
    order = labels.argsort(stable=True)
    return (values[order], labels[order]), validation


def _infinite() -> Data:
    (values, labels), validation = signals()
    values = values.clone()
    values[17, 0, 5] = float("inf")
    return (values, labels), validation


_case = BASE.faulty

FAULTY = (
    _case("lr_times_100", "Adam at 0.3", ("PF201",), lambda: task().but(lr=0.3)),
    _case("lr_by_1000", "Adam at 3e-6", ("PF202",), lambda: task().but(lr=3e-6)),
    _case(
        "raw", "signals in units of 1e-4: deviation 6,000", ("PF301",), lambda: task().but(data=partial(signals, 6e3))
    ),
    _case(
        "drift",
        "the validation signals lie 3 deviations higher",
        ("PF306",),
        lambda: task().but(data=partial(signals, 1.0, 3.0)),
    ),
    _case("random_labels", "labels drawn at random", ("PF310",), lambda: task().but(data=_random_labels)),
    _case("sorted", "sorted by class and not shuffled", ("PF307",), lambda: task().but(data=_sorted, shuffle=False)),
    _case("infinite_value", "one infinite value in one signal", ("PF305",), lambda: task().but(data=_infinite)),
    _case("dying_relu", "convolution biases of -30", ("PF702", "PF103", "PF107"), lambda: task(bias=-30.0)),
)
