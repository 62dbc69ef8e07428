from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.model_settings import parse_model
from preflight.core.params import Params
from preflight.core.settings import Trust
from preflight.tasks.pytorch import PyTorchTask
from preflight.telemetry import store
from preflight.telemetry.recorder import Cadence
from preflight.trials.lab import Lab, TrialSpec
from preflight.trials.outcome import COMPLETED, Result

MakeTask = Callable[..., PyTorchTask]
MakeLab = Callable[..., Lab]
MakeSpec = Callable[..., TrialSpec]

WEIGHTS = torch.tensor([[1.0, -2.0], [0.5, 0.3], [-1.0, 1.0]])


class Net(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout))
        self.head = nn.Linear(8, 2)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.body(values))


def regression(size: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(size, 3, generator=generator)
    return inputs, inputs @ WEIGHTS + 0.1 * torch.randn(size, 2, generator=generator)


@pytest.fixture
def network() -> type[Net]:
    return Net


@pytest.fixture
def parts() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """40 training and 22 validation samples of 3 inputs and 2 targets."""
    return regression(40, 0), regression(22, 1)


@pytest.fixture
def make_task(parts: object) -> MakeTask:
    """Keyword arguments replace keys of the `model` group."""

    def make(**changes: object) -> PyTorchTask:
        values = {"factory": Net, "data": parts, "losses": {"mse": F.mse_loss}, "optimizer": torch.optim.SGD, **changes}
        return PyTorchTask(parse_model(values, name="small", folder=None), Trust(), torch.device("cpu"))

    return make


@pytest.fixture
def make_lab(make_task: MakeTask, tmp_path: Path) -> MakeLab:
    """A lab that writes into a folder of its own; today's batch size is 8."""
    folders = []

    def make(**changes: object) -> Lab:
        folders.append(store.create_folder(tmp_path / f"run-{len(folders)}"))
        task = make_task(**changes)
        references = {loss.name: 4.0 for loss in task.losses}
        return Lab(task, folders[-1], references, 8, 100, Cadence(chunk_steps=4, deltas_every_steps=3))

    return make


@pytest.fixture
def folder_of() -> Callable[[Lab, TrialSpec], Path]:
    """A trial's folder."""
    return lambda lab, spec: lab.run_dir / store.TRIALS / spec.folder_name


@pytest.fixture
def table(folder_of: Callable[[Lab, TrialSpec], Path]) -> Callable[[Lab, TrialSpec, str], pd.DataFrame]:
    """A file of a trial's telemetry."""
    return lambda lab, spec, name: pd.read_csv(folder_of(lab, spec) / name)


@pytest.fixture
def run(folder_of: Any, table: Any) -> Callable[..., Result]:
    """Run a trial; what is true of every result is checked here."""

    def checked(lab: Lab, spec: TrialSpec, **changes: Any) -> Result:
        result = lab.run(spec, **changes)
        info = store.read_json(folder_of(lab, spec) / store.TRIAL)
        assert info["outcome"] == result.outcome.as_dict()
        assert info["steps_done"] == result.steps_done
        assert (result.outcome.status == COMPLETED) == (not result.outcome.reason)
        assert math.isfinite(result.penalized)
        assert {name: len(table(lab, spec, name)) for name in info["tables"]} == info["tables"]
        if info["tables"]:
            assert info["tables"]["losses.csv"] == info["tables"]["learning_rates.csv"]
        return result

    return checked


@pytest.fixture
def make_spec() -> MakeSpec:
    """Twelve steps with two evaluations; keyword arguments are flat settings."""

    def make(
        seed: int = 0, steps: int = 12, rungs: int = 2, schedule: str | None = None, **values: object
    ) -> TrialSpec:
        params = Params(lr=0.1, batch_size=8).with_values(values)  # type: ignore[arg-type]
        return TrialSpec("explore", 7, params, seed, steps, rungs, schedule)

    return make
