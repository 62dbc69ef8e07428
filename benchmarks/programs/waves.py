"""A recurrent net that tells noisy waves apart."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain_loop import Habits
from benchmarks.program import Base, Training
from benchmarks.programs.digits_mlp import Data
from preflight.tasks.metrics import accuracy

LENGTH, CLASSES, SAMPLES, TRAIN_SIZE = 14, 4, 1600, 1200
PERIODS = (3.0, 5.0, 8.0, 14.0)
CELLS = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


@lru_cache(maxsize=4)
def waves(scale: float = 1.0, offset: float = 0.0) -> Data:
    """Two channels ``[N, 14, 2]`` of a wave of random phase with noise; the label ``[N]`` is its period."""
    rng = np.random.default_rng(23)
    labels = rng.integers(CLASSES, size=SAMPLES)
    phase = rng.uniform(0, 2 * np.pi, size=(SAMPLES, 1))
    angle = 2 * np.pi * np.arange(LENGTH) / np.array(PERIODS)[labels][:, None] + phase
    values = np.stack([np.sin(angle), np.cos(angle)], axis=2) + rng.normal(scale=0.3, size=(SAMPLES, LENGTH, 2))
    batch = torch.tensor(values, dtype=torch.float32) * scale + offset
    numbers = torch.tensor(labels)
    return (batch[:TRAIN_SIZE], numbers[:TRAIN_SIZE]), (batch[TRAIN_SIZE:], numbers[TRAIN_SIZE:])


class Recurrent(nn.Module):
    """``[B, T, 2]`` -> logits ``[B, 4]`` from the last state."""

    def __init__(self, cell: str = "gru", width: int = 24, norm: bool = False, gain: float = 1.0) -> None:
        super().__init__()
        self.recurrent = CELLS[cell](2, width, batch_first=True)
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.head = nn.Linear(width, CLASSES)
        with torch.no_grad():
            self.recurrent.weight_hh_l0.mul_(gain)

    def forward(self, values: Tensor) -> Tensor:
        """Logits."""
        states, _ = self.recurrent(values)
        return self.head(self.norm(states[:, -1]))


class Linear(nn.Module):
    """A recurrence without any nonlinearity: states grow or fade with the length."""

    def __init__(self, growth: float) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 32)
        self.again = nn.Linear(32, 32, bias=False)
        self.head = nn.Linear(32, CLASSES)
        nn.init.orthogonal_(self.again.weight, gain=growth)

    def forward(self, values: Tensor) -> Tensor:
        """Logits."""
        state = self.inner(values[:, 0])
        for place in range(1, values.shape[1]):
            state = self.again(state) + self.inner(values[:, place])
        return self.head(state)


def task(**options: Any) -> Training:
    """Adam at 5e-3 with clipping."""
    return Training(
        factory=partial(Recurrent, **options),
        data=waves,
        losses={"cross_entropy": F.cross_entropy},
        baseline={"lr": 5e-3, "batch_size": 32, "clip_norm": 5.0},
        metric={"function": accuracy, "goal": "maximize", "name": "accuracy"},
        optimizer=torch.optim.Adam,
    )


BASE = Base(
    "waves",
    "recurrent",
    task,
    variants={"gru": {}, "lstm": {"cell": "lstm"}, "gru_layer_norm": {"norm": True}},
    rates={"sgd": (0.1, 0.2), "adam": (5e-3, 1e-2), "adamw": (5e-3, 1e-2), "rmsprop": (3e-3, 5e-3)},
)
HEALTHY = BASE.healthy()


def _labels_of_another_file() -> Data:
    (values, labels), validation = waves()
    return (values, labels.roll(len(labels) // 2)), validation


def _shuffled() -> Data:
    (batch, labels), validation = waves()
    return (batch, labels[torch.randperm(TRAIN_SIZE, generator=torch.Generator().manual_seed(5))]), validation


_case = BASE.faulty

FAULTY = (
    _case("lr_times_100", "Adam at 0.5", ("PF201",), lambda: task().but(lr=0.5)),
    _case("lr_by_1000", "Adam at 5e-6", ("PF202",), lambda: task().but(lr=5e-6)),
    _case(
        "exploding_rnn",
        "a linear recurrence that grows 2 times a step",
        ("PF101", "PF107"),
        lambda: task().but(factory=partial(Linear, 2.0), clip_norm=None),
    ),
    _case(
        "sgd_lr_10",
        "SGD with momentum at 10 without clipping",
        ("PF201",),
        lambda: task().but(lr=10.0, clip_norm=None, optimizer=partial(torch.optim.SGD, momentum=0.9)),
    ),
    _case(
        "raw",
        "waves around 4,000 with an amplitude of 500",
        ("PF301",),
        lambda: task().but(data=partial(waves, 500.0, 4000.0)),
    ),
    _case(
        "labels_rolled", "labels belong to other waves", ("PF310",), lambda: task().but(data=_labels_of_another_file)
    ),
    _case(
        "clipped_to_1e-6",
        "gradients are clipped to a norm of 1e-6, with SGD",
        ("PF105",),
        lambda: task().but(clip_norm=1e-6, lr=0.1, optimizer=torch.optim.SGD),
    ),
    _case("labels_shuffled", "labels belong to other waves", ("PF310",), lambda: task().but(data=_shuffled)),
    _case(
        "amplitude_of_1e4", "waves with amplitudes of 10,000", ("PF301",), lambda: task().but(data=partial(waves, 1e4))
    ),
    _case(
        "gradients_not_zeroed",
        "zero_grad is never called",
        ("PF109",),
        lambda: task().but(habits=Habits(zero_grad=False), clip_norm=None, lr=0.05, optimizer=torch.optim.SGD),
    ),
)
