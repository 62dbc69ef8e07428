"""Digits by the angle to a prototype of each class, with a margin (ArcFace, arXiv 1801.07698)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.program import OPTIMIZERS, Base, Training
from benchmarks.programs.changes import with_labels_shuffled
from benchmarks.programs.digits_mlp import digits
from benchmarks.programs.embedders import always_warming_up, collapsed, dead_relu, first_layer, shifted

SCALE, MARGIN = 16.0, 0.2
CLASSES, WIDTH = 10, 32


class Angles(nn.Module):
    """``[B, 64]`` -> cosines of its direction with the prototypes ``[B, 10]``."""

    def __init__(
        self,
        activation: str = "relu",
        norm: bool = False,
        shift: float = 0.0,
        rectified: bool = False,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = nn.Sequential(
            *first_layer(96, activation, norm),
            shifted(nn.Linear(96, WIDTH), shift),
            nn.ReLU() if rectified else nn.Identity(),
        )
        rows = torch.randn(1 if shared else CLASSES, WIDTH)
        self.prototypes = nn.Parameter(rows.expand(CLASSES, WIDTH).clone())

    def forward(self, pixels: Tensor) -> Tensor:
        """Cosines."""
        return F.normalize(self.embedding(pixels), dim=1) @ F.normalize(self.prototypes, dim=1).T


def arc(
    output: Tensor, target: Tensor, scale: float = SCALE, margin: float = MARGIN, reduction: str = "mean"
) -> Tensor:
    """Cross-entropy of cosines, with the angle of the right class made larger by ``margin``."""
    angle = output.clamp(-1 + 1e-6, 1 - 1e-6).acos()
    right = F.one_hot(target, output.shape[1]).bool()
    logits = scale * torch.where(right, (angle + margin).cos(), output)
    return F.cross_entropy(logits, target, reduction=reduction)


def task(**options: Any) -> Training:
    """Adam at 3e-3, batches of 32."""
    return Training(
        factory=partial(Angles, **options),
        data=digits,
        losses={"arc": arc},
        baseline={"lr": 3e-3, "batch_size": 32},
        optimizer=torch.optim.Adam,
        head="prototypes",
    )


BASE = Base(
    "arcs",
    "contrastive",
    task,
    variants={"relu": {}, "layer_norm": {"norm": True}, "tanh": {"activation": "tanh"}},
    rates={"sgd": (0.03, 0.1), "adam": (3e-3, 5e-3), "adamw": (3e-3, 5e-3), "rmsprop": (1e-3, 2e-3)},
)
HEALTHY = BASE.healthy()


def _frozen() -> nn.Module:
    model = Angles()
    model.prototypes.requires_grad_(False)
    return model


def _without_prototypes(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    kept = [
        {**group, "params": [item for item in group["params"] if item.shape != (CLASSES, WIDTH)]} for group in groups
    ]
    return torch.optim.Adam(kept, lr=lr)


def _with(loss: Callable[..., Tensor], **changes: Any) -> Training:
    return task().but(losses={"arc": loss}, **changes)


_case = BASE.faulty

FAULTY = (
    _case(
        "scale_1",
        "cosines are taken for logits, without a scale: no class gets more than a quarter of the chances",
        ("PF407", "PF402", "PF401"),
        lambda: _with(partial(arc, scale=1.0)),
    ),
    _case("scale_1e4", "a scale of 10,000", ("PF405", "PF101"), lambda: _with(partial(arc, scale=1e4))),
    _case("prototypes_shared", "all classes begin at one prototype", ("PF701", "PF107"), lambda: task(shared=True)),
    _case("prototypes_frozen", "the prototypes are frozen", ("PF104",), lambda: task().but(factory=_frozen)),
    _case(
        "prototypes_not_in_optimizer",
        "the prototypes are not in the optimizer",
        ("PF104",),
        lambda: task().but(optimizer=_without_prototypes),
    ),
    collapsed(BASE),
    dead_relu(BASE),
    _case("sgd_at_30", "SGD at 30", ("PF201",), lambda: task().but(optimizer=OPTIMIZERS["sgd"], lr=30.0)),
    _case("lr_by_1000", "Adam at 3e-6", ("PF202",), lambda: task().but(lr=3e-6)),
    _case("raw_pixels", "pixels from 0 to 25,500", ("PF301",), lambda: task().but(data=partial(digits, 25500 / 16))),
    _case(
        "labels_shuffled",
        "labels do not belong to their images",
        ("PF310",),
        lambda: task().but(data=partial(with_labels_shuffled, digits, 11)),
    ),
    _case(
        "summed",
        "the loss is summed over the batch, with SGD",
        ("PF406", "PF201"),
        lambda: _with(partial(arc, reduction="sum"), optimizer=OPTIMIZERS["sgd"], lr=0.1),
    ),
    always_warming_up(BASE),
)
