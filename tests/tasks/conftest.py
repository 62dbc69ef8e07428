from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from preflight.core.model_settings import parse_model
from preflight.core.settings import Trust
from preflight.tasks.pytorch import PyTorchTask

CPU = torch.device("cpu")
NOBODY = Trust()

MakeTask = Callable[..., PyTorchTask]
AddModule = Callable[..., str]


class Net(nn.Module):
    def __init__(self, dropout: float = 0.0, width: int = 4) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Dropout(dropout))
        self.head = nn.Linear(width, 2)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.backbone(values))


@pytest.fixture
def network() -> type[Net]:
    return Net


@pytest.fixture
def make_task(monkeypatch: pytest.MonkeyPatch) -> MakeTask:
    """A task on 12 samples of 3 inputs and 2 targets; keyword arguments replace keys of the `model` group."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    generator = torch.Generator().manual_seed(0)
    parts = tuple(
        (torch.randn(size, 3, generator=generator), torch.randn(size, 2, generator=generator)) for size in (12, 6)
    )

    def make(trust: Trust = NOBODY, **changes: object) -> PyTorchTask:
        values = {"factory": Net, "data": parts, "losses": {"mse": F.mse_loss}, **changes}
        return PyTorchTask(parse_model(values, name="small", folder=None), trust, CPU)

    return make


@pytest.fixture
def add_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[AddModule]:
    """Write an importable module into a folder; what was imported is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def add(folder: Path, name: str, text: str) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        return name

    yield add
    for name in set(sys.modules) - before:
        del sys.modules[name]


class Files(Dataset[Any]):
    """Samples that tell their number; some cannot be read. ``extra`` is what a sample holds besides."""

    def __init__(
        self,
        broken: Collection[int] = (),
        extra: Callable[[int], Any] = lambda _: 0.0,
        size: int = 100,
        error: type[BaseException] = OSError,
    ) -> None:
        self.broken, self.extra, self.size, self.error = set(broken), extra, size, error
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: int) -> tuple[Tensor, Any]:
        self.asked.append(number)
        extra = self.extra(number)
        if number in self.broken:
            raise self.error(f"image {number} is truncated\nat byte 12")
        return torch.tensor([number, 2 * number]), extra


@pytest.fixture(scope="session")
def files_of() -> type[Files]:
    """Makes such a data set."""
    return Files
