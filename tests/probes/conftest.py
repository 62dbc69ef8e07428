from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.model_settings import parse_model
from preflight.core.params import Params
from preflight.core.settings import Trust
from preflight.core.units import RunLength
from preflight.probes.schedule import look_at_schedule
from preflight.tasks.pytorch import PyTorchTask

MakeTask = Callable[..., PyTorchTask]


@pytest.fixture
def make_task() -> MakeTask:
    """Classify 40 samples of 3 inputs into 4 classes; keyword arguments replace keys of the `model` group."""
    generator = torch.Generator().manual_seed(0)

    def part(size: int) -> tuple[Tensor, Tensor]:
        return torch.randn(size, 3, generator=generator), torch.randint(0, 4, (size,), generator=generator)

    parts = part(40), part(20)

    def make(**changes: object) -> PyTorchTask:
        values = {
            "factory": lambda: nn.Linear(3, 4),
            "data": parts,
            "losses": {"cross_entropy": F.cross_entropy},
            **changes,
        }
        return PyTorchTask(parse_model(values, name="small", folder=None), Trust(), torch.device("cpu"))

    return make


@pytest.fixture
def replay_of(make_task: Any) -> Callable[..., dict[str, Any]]:
    """Facts of a scheduler over so many epochs of so many steps."""

    def look_at(scheduler: Any, unit: str, epochs: int, steps_per_epoch: int, **changes: Any) -> dict[str, Any]:
        task = make_task(scheduler=scheduler, scheduler_interval=unit, **changes)
        length = RunLength(epochs * steps_per_epoch, 2, 2 * steps_per_epoch)
        found = look_at_schedule(task, Params(1e-4, 2), 0, length)
        json.dumps(found)
        return found["schedule"]  # type: ignore[no-any-return]

    return look_at
