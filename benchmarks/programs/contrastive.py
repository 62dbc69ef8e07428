"""Supervised contrastive embeddings of scikit-learn's digits (arXiv 2004.11362)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.program import Base, Training
from benchmarks.programs.changes import with_labels_shuffled
from benchmarks.programs.digits_mlp import digits
from benchmarks.programs.embedders import collapsed, first_layer, shifted


class Embedding(nn.Module):
    """``[B, 64]`` -> unit vectors ``[B, 16]``."""

    def __init__(self, activation: str = "relu", norm: bool = False, width: int = 96, shift: float = 0.0) -> None:
        super().__init__()
        last = shifted(nn.Linear(width, 16), shift)  # its weights are drawn before the first layer's
        self.trunk = nn.Sequential(*first_layer(width, activation, norm), last)

    def forward(self, pixels: Tensor) -> Tensor:
        """Directions."""
        return F.normalize(self.trunk(pixels), dim=1)


def contrast(output: Tensor, target: Tensor, temperature: float = 0.2) -> Tensor:
    """Mean negative log-probability of samples of the same class among all others of the batch."""
    itself = torch.eye(len(output), dtype=torch.bool, device=output.device)
    logits = (output @ output.T / temperature).masked_fill(itself, -1e9)
    same = (target[:, None] == target[None, :]) & ~itself
    chances = F.log_softmax(logits, dim=1)
    return -(chances * same).sum() / same.sum().clamp(min=1)


def task(**options: Any) -> Training:
    """Adam at 1e-3, batches of 64."""
    return Training(
        factory=partial(Embedding, **options),
        data=digits,
        losses={"contrast": contrast},
        baseline={"lr": 1e-3, "batch_size": 64},
        optimizer=torch.optim.Adam,
        horizon_steps=200,
    )


BASE = Base(
    "contrastive",
    "contrastive",
    task,
    variants={"relu": {}, "layer_norm": {"norm": True}, "tanh": {"activation": "tanh"}},
    rates={"sgd": (0.1, 0.2), "adam": (1e-3, 3e-3), "adamw": (1e-3, 3e-3), "rmsprop": (1e-3, 5e-4)},
)
HEALTHY = BASE.healthy()


_case = BASE.faulty

FAULTY = (
    _case("lr_by_1000", "Adam at 1e-6", ("PF202",), lambda: task().but(lr=1e-6)),
    _case("lr_times_1000", "Adam at 1.0", ("PF201",), lambda: task().but(lr=1.0)),
    _case(
        "hot",
        "a temperature of 1e5: all pairs look alike",
        ("PF402", "PF202"),
        lambda: task().but(optimizer=torch.optim.SGD, lr=0.1, losses={"contrast": partial(contrast, temperature=1e5)}),
    ),
    collapsed(BASE),
    _case(
        "labels_shuffled",
        "labels do not belong to their images",
        ("PF310",),
        lambda: task().but(data=partial(with_labels_shuffled, digits, 9)),
    ),
    _case("raw_pixels", "pixels from 0 to 25,500", ("PF301",), lambda: task().but(data=partial(digits, 25500 / 16))),
)
