"""A task in memory, and today's settings read for it from the text of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.model_settings import ModelSettings, parse_model
from preflight.core.settings import Trust
from preflight.pipeline.today import Today, read_today
from preflight.pipeline.user_file import UserFile
from preflight.tasks.pytorch import PyTorchTask

SAMPLES = 150

MakeTask = Callable[..., PyTorchTask]
ReadText = Callable[..., Today]


class Net(nn.Module):
    def __init__(self, width: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(self, height: Tensor, angle: Tensor) -> Tensor:
        return self.layers(torch.cat([height, angle], dim=1))


def _split(size: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(size)
    return {
        "height": 3000 + 500 * torch.randn(size, 1, generator=generator),
        "angle": torch.rand(size, 2, generator=generator),
        "target": torch.randn(size, 1, generator=generator),
    }


@pytest.fixture(scope="session")
def samples() -> int:
    """Training samples of the task."""
    return SAMPLES


@pytest.fixture(scope="session")
def model_settings() -> Callable[..., ModelSettings]:
    """The `model` group of the task; keyword arguments replace its keys."""

    def make(**changes: Any) -> ModelSettings:
        values = {
            "factory": Net,
            "data": (_split(SAMPLES), _split(40)),
            "losses": {"mse": F.mse_loss, "mae": F.l1_loss},
            **changes,
        }
        return parse_model(values, name="small", folder=None)

    return make


@pytest.fixture(scope="session")
def make_task() -> MakeTask:
    """The task itself, on the CPU."""

    def make(model: ModelSettings) -> PyTorchTask:
        return PyTorchTask(model, Trust(), torch.device("cpu"))

    return make


@pytest.fixture(scope="session")
def read_text(model_settings: Callable[..., ModelSettings], make_task: MakeTask) -> ReadText:
    """Today's settings by a file with ``text`` and by what the model says: mapping, baseline, horizon_steps."""

    def read(text: str | None, mapping: dict[str, str] | None = None, **changes: Any) -> Today:
        if text is None:
            model = model_settings(**changes)
            return read_today(model, make_task(model), None)
        model = model_settings(config="train.yaml", mapping=mapping or {}, **changes)
        file = UserFile(Path("train.yaml"), text, model.mapping)
        return read_today(model, make_task(model), file)

    return read
