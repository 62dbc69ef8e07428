"""An autoencoder of scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.program import Base, Training
from benchmarks.programs.digits_mlp import ACTIVATIONS, NORMS, digits


def pairs(scale: float = 1 / 16, targets: float | None = None) -> Any:
    """Pixels ``[N, 64]`` from 0 to 16 times ``scale``, as input and as target (in their own scale, if given)."""
    (train, _), (validation, _) = digits(1.0)
    factor = scale if targets is None else targets
    return tuple({"input": part * scale, "target": part * factor} for part in (train, validation))


def network(
    activation: str = "relu",
    norm: str = "none",
    code: int = 16,
    last: Callable[[], nn.Module] = nn.Identity,
    middle: Callable[[], nn.Module] = nn.Identity,
) -> nn.Module:
    """``[B, 64]`` -> ``[B, 64]``."""
    function, layer = ACTIVATIONS[activation], NORMS[norm]
    return nn.Sequential(
        nn.Linear(64, 96), layer(96), function(), nn.Linear(96, code), middle(),
        nn.Linear(code, 96), layer(96), function(), nn.Linear(96, 64), last(),
    )  # fmt: skip


def task(**options: Any) -> Training:
    """Adam at 3e-3 on pixels from 0 to 1."""
    return Training(
        factory=partial(network, **options),
        data=pairs,
        losses={"mse": F.mse_loss},
        baseline={"lr": 3e-3, "batch_size": 32},
        optimizer=torch.optim.Adam,
    )


BASE = Base(
    "autoencoder",
    "autoencoder",
    task,
    variants={
        "relu": {},
        "layer_norm_gelu": {"norm": "layer", "activation": "gelu"},
        "sigmoid_out": {"last": nn.Sigmoid},
    },
    rates={"sgd": (1.0, 0.5), "adam": (3e-3, 5e-3), "adamw": (3e-3, 5e-3), "rmsprop": (1e-3, 2e-3)},
)
HEALTHY = BASE.healthy()


class Cut(nn.Module):
    """The code is detached on its way to the decoder."""

    def forward(self, code: Tensor) -> Tensor:
        """The same values without their history."""
        return code.detach()


def _sum(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, target, reduction="sum")


class Blank(nn.Module):
    """Random numbers in place of the code."""

    def forward(self, code: Tensor) -> Tensor:
        """Noise of the same shape."""
        return 0 * code


_case = BASE.faulty

FAULTY = (
    _case("lr_times_100", "Adam at 0.3", ("PF201",), lambda: task().but(lr=0.3)),
    _case("lr_by_1000", "Adam at 3e-6", ("PF202",), lambda: task().but(lr=3e-6)),
    _case(
        "sigmoid_for_raw",
        "a sigmoid at the end, and targets from 0 to 255",
        ("PF407",),
        lambda: task(last=nn.Sigmoid).but(data=partial(pairs, 1 / 16, 255 / 16)),
    ),
    _case(
        "tanh_for_16",
        "a tanh at the end, and pixels from 0 to 16",
        ("PF407", "PF301"),
        lambda: task(last=nn.Tanh).but(data=partial(pairs, 1.0)),
    ),
    _case(
        "raw_targets",
        "targets in units of 1e-6: up to 1e6",
        ("PF308",),
        lambda: task().but(data=partial(pairs, 1 / 16, 1e6 / 16)),
    ),
    _case(
        "detached_code",
        "the encoder gets no gradient: its output is detached",
        ("PF104", "PF103"),
        lambda: task(middle=Cut),
    ),
    _case("code_ignored", "the decoder gets zeros", ("PF410",), lambda: task(middle=Blank)),
    _case(
        "summed_sgd",
        "the loss is summed over 2,048 values, with SGD 0.01",
        ("PF406",),
        lambda: task().but(losses={"mse": _sum}, lr=0.01, optimizer=torch.optim.SGD),
    ),
    _case(
        "weight_decay_3",
        "AdamW with a weight decay of 30",
        ("PF409",),
        lambda: task().but(optimizer=torch.optim.AdamW, weight_decay=30.0),
    ),
)
