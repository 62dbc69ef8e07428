"""The scenario icecube with its data as they should be fed: five epochs of 40 steps, AdamW at a constant rate."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.lr_tasks.base import Batch, LrTask, NamedLoss
from preflight.scenarios.icecube import FEATURES, angle, build_model
from preflight.scenarios.icecube_data import load_data as load_events


def load_data() -> tuple[Batch, Batch]:
    """``pulses[N, L, 4]``, ``valid[N, L]``, ``direction[N, 3]``."""
    train, validation = load_events(scaled=True)
    return dict(train), dict(validation)


TASK = LrTask(
    name="icecube",
    model=partial(build_model, embed_sensors=True),
    data=load_data,
    losses=(NamedLoss("angle", angle),),
    inputs=("pulses", "valid"),
    targets=("direction",),
    optimizer=partial(torch.optim.AdamW, fused=True),
    batch_size=125,
    horizon_steps=200,
    clip_norm=1.0,
    fields={
        "pulses": {
            "features": list(FEATURES),
            "kind": ["continuous", "continuous", "tokens", "binary"],
            "mask": "valid",
        }
    },
)
