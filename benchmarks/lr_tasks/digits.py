"""scikit-learn's digits and a perceptron 64-128-128-10, as published for the finders: four variants.

Standardized or raw pixels times 16, Adam or SGD; batch 32, 400 steps at a constant learning rate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.lr_tasks.base import Batch, LrTask, NamedLoss
from preflight.scenarios.digits import load_data


def build_model() -> nn.Module:
    """``[B, 64] -> [B, 10]``."""
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


def load_raw() -> tuple[Batch, Batch]:
    """Pixels from 0 to 256: those of the file, which end at 16, times 16."""
    train, validation = ({"image": images.flatten(1), "label": labels} for images, labels in load_data(256.0))
    return train, validation


def load_standardized() -> tuple[Batch, Batch]:
    """In deviations of all training pixels, by one mean and one scale."""
    train, validation = load_raw()
    center, scale = train["image"].mean(), train["image"].std()
    return tuple({**part, "image": (part["image"] - center) / scale} for part in (train, validation))  # type: ignore[return-value]  # two


def variants() -> tuple[LrTask, ...]:
    """The four."""
    data = {"standardized": load_standardized, "raw": load_raw}
    # Kernels of all parameters at once, as preflight takes by itself.
    optimizers: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": partial(torch.optim.Adam, fused=True),
        "sgd": partial(torch.optim.SGD, fused=True),
    }
    return tuple(
        LrTask(
            name=f"digits_{look}_{name}",
            model=build_model,
            data=load,
            losses=(NamedLoss("cross_entropy", F.cross_entropy),),
            inputs=("image",),
            targets=("label",),
            optimizer=optimizer,
            batch_size=32,
            horizon_steps=400,
            truth_seeds=10,
        )
        for name, optimizer in optimizers.items()
        for look, load in data.items()
    )
