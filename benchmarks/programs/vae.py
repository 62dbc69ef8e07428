"""A variational autoencoder of scikit-learn's digits: reconstruction and divergence."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.program import Base, Training
from benchmarks.programs.autoencoder import pairs
from benchmarks.programs.digits_mlp import ACTIVATIONS

CODE = 8


class Variational(nn.Module):
    """``[B, 64]`` -> reconstruction, mean and log-variance of the code."""

    def __init__(
        self, activation: str = "relu", width: int = 96, norm: bool = False, log_variance: float = 0.0
    ) -> None:
        super().__init__()
        function = ACTIVATIONS[activation]
        layer = nn.LayerNorm if norm else lambda _: nn.Identity()
        self.encoder = nn.Sequential(nn.Linear(64, width), layer(width), function(), nn.Linear(width, 2 * CODE))
        self.decoder = nn.Sequential(nn.Linear(CODE, width), layer(width), function(), nn.Linear(width, 64))
        self.offset = log_variance

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """The code is drawn in training, and its mean otherwise."""
        mean, log_variance = self.encoder(pixels).chunk(2, dim=1)
        log_variance = log_variance + self.offset
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        return {
            "image": self.decoder(mean + noise * (0.5 * log_variance).exp()),
            "code": torch.cat([mean, log_variance], dim=1),
        }


def divergence(code: Tensor, _target: Tensor) -> Tensor:
    """From the standard normal distribution, by value of the image."""
    mean, log_variance = code.chunk(2, dim=1)
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1).mean() / 64


def _summed(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, target, reduction="sum")


LOSSES = {
    "reconstruction": {"function": F.mse_loss, "output": "image"},
    "divergence": {"function": divergence, "output": "code"},
}


def task(**options: Any) -> Training:
    """Adam at 3e-3; the divergence counts a hundredth."""
    return Training(
        factory=partial(Variational, **options),
        data=pairs,
        losses=LOSSES,
        baseline={"lr": 3e-3, "batch_size": 32, "loss_weights.divergence": 0.01},
        optimizer=torch.optim.Adam,
    )


BASE = Base(
    "vae",
    "multi-loss",
    task,
    variants={"relu": {}, "layer_norm": {"norm": True}, "tanh": {"activation": "tanh"}},
    rates={"sgd": (0.5, 1.0), "adam": (3e-3, 5e-3), "adamw": (3e-3, 5e-3), "rmsprop": (1e-3, 2e-3)},
)
HEALTHY = BASE.healthy()

_case = BASE.faulty

FAULTY = (
    _case(
        "divergence_times_1e6",
        "the divergence counts a million",
        ("PF403",),
        lambda: task().but(**{"loss_weights.divergence": 1e6}),
    ),
    _case(
        "reconstruction_by_1e6",
        "the reconstruction counts 1e-6",
        ("PF403",),
        lambda: task().but(**{"loss_weights.reconstruction": 1e-6}),
    ),
    _case("lr_times_100", "Adam at 0.3", ("PF201",), lambda: task().but(lr=0.3)),
    _case("lr_by_1000", "Adam at 3e-6", ("PF202",), lambda: task().but(lr=3e-6)),
    _case(
        "divergence_times_1e4",
        "the divergence counts a hundred",
        ("PF403",),
        lambda: task().but(**{"loss_weights.divergence": 100.0}),
    ),
    _case(
        "log_variance_of_40",
        "the log-variance begins at 40",
        ("PF108", "PF107", "PF405", "PF101"),
        lambda: task(log_variance=40.0),
    ),
)
