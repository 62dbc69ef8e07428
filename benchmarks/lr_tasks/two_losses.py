"""One trunk, two losses: which digit it is, and the picture again from a narrow code; SGD with momentum, a cosine."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.lr_tasks.base import Batch, LrTask, NamedLoss
from benchmarks.lr_tasks.digits import load_standardized

CODE = 12


class Both(nn.Module):
    """``[B, 64] -> {logits: [B, 10], picture: [B, 64]}``."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, CODE))
        self.classes = nn.Linear(CODE, 10)
        self.decoder = nn.Sequential(nn.Linear(CODE, 96), nn.ReLU(), nn.Linear(96, 64))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Both from the same code."""
        code = self.encoder(image)
        return {"logits": self.classes(code), "picture": self.decoder(code)}


def load_data() -> tuple[Batch, Batch]:
    """The digits in deviations; the picture is a target too."""
    train, validation = ({**part, "picture": part["image"]} for part in load_standardized())
    return train, validation


TASK = LrTask(
    name="two_losses",
    model=Both,
    data=load_data,
    # Each counts as much as the other where both are at their best constant.
    losses=(
        NamedLoss("classes", F.cross_entropy, 1 / math.log(10), "logits", "label"),
        NamedLoss("picture", F.mse_loss, 1.0, "picture", "picture"),
    ),
    inputs=("image",),
    targets=("label", "picture"),
    optimizer=partial(torch.optim.SGD, momentum=0.9, fused=True),
    batch_size=32,
    horizon_steps=1200,
    schedule="cosine",
)
