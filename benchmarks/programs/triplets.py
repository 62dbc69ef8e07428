"""Digits by distance: an anchor lies nearer to one of its class than to one of another (arXiv 1503.03832)."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.program import OPTIMIZERS, Base, Training
from benchmarks.programs.changes import changed, frozen, shuffled
from benchmarks.programs.digits_mlp import digits
from benchmarks.programs.embedders import collapsed, first_layer, shifted

Split = dict[str, Tensor]
ROLES = ("anchor", "positive", "negative")


def _triplets(pixels: Tensor, labels: Tensor, seed: int) -> Split:
    """For every digit one of the same class and one of another."""
    draw = torch.Generator().manual_seed(seed)
    same = (labels[:, None] == labels[None]).float()
    positive, negative = (torch.multinomial(chances, 1, generator=draw).squeeze(1) for chances in (same, 1 - same))
    return {"anchor": pixels, "positive": pixels[positive], "negative": pixels[negative], "label": labels}


@lru_cache(maxsize=4)
def triplets(scale: float = 1 / 16) -> tuple[Split, Split]:
    """Train and validation split of ``anchor``, ``positive`` and ``negative`` ``[N, 64]``."""
    train, validation = (_triplets(*part, seed) for seed, part in enumerate(digits(scale)))
    return train, validation


class Embedder(nn.Module):
    """Three images ``[B, 64]`` -> their directions ``[B, 3, 16]``."""

    def __init__(self, activation: str = "relu", norm: bool = False, shift: float = 0.0) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*first_layer(96, activation, norm))
        self.last = shifted(nn.Linear(96, 16), shift)

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Of all three."""
        return F.normalize(self.last(self.trunk(torch.stack([anchor, positive, negative], dim=1))), dim=2)


def hinge(output: Tensor, _label: Tensor, margin: float = 0.5) -> Tensor:
    """By how much a positive fails to be nearer than a negative by ``margin``, mean over the batch."""
    anchor, positive, negative = output.unbind(dim=1)
    near, far = ((anchor - other).square().sum(dim=1) for other in (positive, negative))
    return F.relu(near - far + margin).mean()


def task(**options: Any) -> Training:
    """Adam at 1e-3, batches of 32."""
    return Training(
        factory=partial(Embedder, **options),
        data=triplets,
        losses={"hinge": hinge},
        baseline={"lr": 1e-3, "batch_size": 32},
        inputs=ROLES,
        targets=("label",),
        optimizer=torch.optim.Adam,
        horizon_steps=200,
    )


BASE = Base(
    "triplets",
    "contrastive",
    task,
    variants={"relu": {}, "layer_norm": {"norm": True}, "tanh": {"activation": "tanh"}},
    rates={"sgd": (0.03, 0.1), "adam": (1e-3, 3e-3), "adamw": (1e-3, 3e-3), "rmsprop": (1e-3, 5e-4)},
)
HEALTHY = BASE.healthy()


def _mixed() -> tuple[Split, Split]:
    """Positives and negatives of other anchors."""
    train, validation = triplets()
    return {**train, "positive": shuffled(train["positive"], 6)}, validation


def _swapped() -> tuple[Split, Split]:
    train, validation = triplets()
    return {**train, "positive": train["negative"], "negative": train["positive"]}, validation


def _same() -> tuple[Split, Split]:
    train, validation = ({**part, "positive": part["anchor"]} for part in triplets())
    return train, validation


_case = BASE.faulty

FAULTY = (
    _case(
        "margin_negative",
        "the margin is subtracted: the loss is zero from the start",
        ("PF501", "PF402"),
        lambda: task().but(losses={"hinge": partial(hinge, margin=-5.0)}),
    ),
    collapsed(BASE),
    _case("positives_mixed", "positives belong to other anchors", ("PF310",), lambda: task().but(data=_mixed)),
    _case("swapped", "training takes negatives for positives", ("PF306", "PF310"), lambda: task().but(data=_swapped)),
    _case(
        "positive_is_anchor", "the positive is the anchor itself", ("PF304", "PF405"), lambda: task().but(data=_same)
    ),
    _case(
        "last_frozen",
        "the last layer is frozen",
        ("PF104",),
        lambda: task().but(factory=changed(Embedder, frozen("last"))),
    ),
    _case("sgd_at_300", "SGD at 300", ("PF201",), lambda: task().but(optimizer=OPTIMIZERS["sgd"], lr=300.0)),
    _case("lr_by_1000", "Adam at 1e-6", ("PF202",), lambda: task().but(lr=1e-6)),
    _case("raw_pixels", "pixels from 0 to 25,500", ("PF301",), lambda: task().but(data=partial(triplets, 25500 / 16))),
)
