"""A task in memory with today's settings read from the text of a file, and a whole run of a user's project."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.model_settings import ModelSettings, parse_model
from preflight.core.settings import Trust, load
from preflight.pipeline.flight import Flight, fly, prepare
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


@dataclass
class Stages:
    """An audience that remembers what it was told."""

    said: list[str] = field(default_factory=list)
    begun: list[tuple[str, int]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    open: bool = False

    def say(self, text: str) -> None:
        self.said.append(text)

    def begin(self, stage: str, total: int) -> None:
        assert not self.open
        self.begun.append((stage, total))
        self.counts.append(0)
        self.open = True

    def advance(self, best: float | None = None) -> None:
        assert self.open
        self.counts[-1] += 1

    def end(self) -> None:
        self.open = False


@pytest.fixture
def stages() -> Stages:
    return Stages()


@dataclass(frozen=True)
class Flown:
    """A whole run of the user's project, its folder, and what its audience was told."""

    flight: Flight
    project: Path
    stages: Stages


@pytest.fixture(scope="session")
def fly_project(
    tmp_path_factory: pytest.TempPathFactory, make_project: Callable[..., Path], small_with: Callable[..., list[str]]
) -> Iterator[Callable[..., Flown]]:
    """Run the user's project in this process, in a folder of its own for every call."""
    path, count = list(sys.path), 0

    def run(*overrides: str) -> Flown:
        nonlocal count
        count += 1
        project = make_project(tmp_path_factory.mktemp("project") / "of a user", f"flown_{count}")
        run_dir = f"run_dir='{project / 'run'}'"
        arguments = [f"+model=flown_{count}", *small_with(run_dir, *overrides)]
        heard = Stages()
        flight = fly(prepare(load(arguments, [project / "conf"]), heard))
        return Flown(flight, project, heard)

    yield run
    sys.path[:] = path


@pytest.fixture(scope="session")
def flown(fly_project: Callable[..., Flown]) -> Flown:
    """One run that everybody may read."""
    return fly_project()
