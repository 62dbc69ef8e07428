from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.model_settings import parse_model
from preflight.core.settings import Trust
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
