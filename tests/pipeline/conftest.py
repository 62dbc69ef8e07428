"""A task in memory with today's settings read from the text of a file, and a whole run of a user's project."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.advise.recommendation import Recommendation
from preflight.advise.refine import Room
from preflight.core.compose import compose_sweeps
from preflight.core.model_settings import ModelSettings, parse_model
from preflight.core.params import Params
from preflight.core.search_settings import BudgetSettings
from preflight.core.settings import Trust, load, parse
from preflight.pipeline import flight as module
from preflight.pipeline.audience import Nobody
from preflight.pipeline.axes import searched
from preflight.pipeline.confirmation import NO_ROOM, Bench, confirm
from preflight.pipeline.flight import Flight, fly, prepare
from preflight.pipeline.inspection import Inspection, inspect_task, open_task
from preflight.pipeline.today import Today, read_today
from preflight.pipeline.user_file import UserFile
from preflight.search.engines.base import Ended, unheard
from preflight.tasks.data import Batch
from preflight.tasks.pytorch import PyTorchTask
from preflight.trials.lab import TrialSpec
from preflight.trials.loop import Hopeless
from preflight.trials.outcome import COMPLETED, DIVERGED, Outcome, Result

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


@pytest.fixture
def explore_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Runs that follow explore, and do nothing else."""

    def stages(flight: Flight) -> None:
        module._explore(flight, searched(flight.settings.space, flight.inspection, flight.task, (1e-3, 1.0)))

    return lambda: monkeypatch.setattr(module, "_stages", stages)


def _rows(size: int) -> Batch:
    generator = torch.Generator().manual_seed(size)
    return {"x": torch.randn(size, 3, generator=generator), "target": torch.randn(size, 1, generator=generator)}


@pytest.fixture
def parts() -> tuple[Batch, Batch]:
    return _rows(6000), _rows(300)


@pytest.fixture
def inspect(parts: tuple[Batch, Batch]) -> Callable[..., Inspection]:
    """Inspect the task; keyword arguments replace keys of the `model` group."""

    def run(*overrides: str, **changes: Any) -> Inspection:
        model = {
            "factory": partial(nn.Linear, 3, 1),
            "data": parts,
            "losses": {"mse": F.mse_loss},
            "baseline": {"lr": 0.1, "batch_size": 32},
            "horizon_steps": 1000,
            "fields": {"x": {"features": ["time", "place", "charge"]}},
            **changes,
        }
        settings = parse({**compose_sweeps([*overrides]), "model": model}, "small", None, Trust())
        return inspect_task(settings, open_task(settings), None)

    return run


TODAY = Params(lr=0.3, batch_size=32, normalization={"input": "none"}, loss_weights={"ce": 1.0})
# (settings, seed, whether on fresh seeds) -> (score, metric)
Model = Callable[[Params, int, bool], "float | tuple[float, float]"]


@pytest.fixture
def today() -> Params:
    return TODAY


@pytest.fixture
def better() -> Params:
    return TODAY.with_values({"lr": 0.003, "normalization.input": "standardize"})


@pytest.fixture
def budget() -> BudgetSettings:
    steps = {"trial_steps": 10, "range_steps": 8, "confirm_steps": 600}
    return BudgetSettings(trials=1, rungs=2, range_seeds=1, candidates=2, seeds=5, validation_samples=10, **steps)


def _wobble(seed: int) -> float:
    return 1 + 0.05 * math.sin(1000 * seed)


@pytest.fixture
def wobble() -> Callable[[int], float]:
    """Noise of a seed that every setting shares."""
    return _wobble


@pytest.fixture
def both_faults() -> Model:
    """Each of the two changes helps, and the two together help more."""

    def score(params: Params, seed: int, fresh: bool) -> float:
        lr, raw = params.lr > 0.1, params.normalization["input"] == "none"
        return _wobble(seed) * 0.1 * (2 if lr else 1) * (4 if raw else 1)

    return score


@dataclass
class FakeEngine:
    """Scores by a formula in place of training."""

    model: Model
    specs: list[TrialSpec] = field(default_factory=list)

    def run(self, specs: Sequence[TrialSpec], ended: Ended = unheard) -> Iterator[Result]:
        for spec in specs:
            ended()
            self.specs.append(spec)
            answer = self.model(spec.params, spec.seed, spec.purpose == "proof")
            score, metric = answer if isinstance(answer, tuple) else (answer, math.nan)
            status = COMPLETED if math.isfinite(score) else DIVERGED
            yield Result(Outcome(status), score, metric, {}, spec.steps, 0.0)

    def close(self) -> None:
        raise AssertionError("the flight closes its engine")

    def run_one(self, spec: TrialSpec, hopeless: Hopeless) -> Result:
        raise AssertionError("nothing that is confirmed is given up")


@pytest.fixture
def decide(better: Params, budget: BudgetSettings) -> Callable[..., tuple[Recommendation, FakeEngine]]:
    """What is recommended where candidates (``better`` alone) score as a model says."""

    def run(
        model: Model,
        candidates: Sequence[Params] = (better,),
        *,
        goal: str | None = None,
        finish: Callable[[Params], Params] = lambda params: params,
        seed: int = 0,
        horizon: int = 1000,
        room: Room = NO_ROOM,
    ) -> tuple[Recommendation, FakeEngine]:
        engine = FakeEngine(model)
        bench = Bench(engine, budget, seed, horizon, Nobody())
        return confirm(bench, TODAY, candidates, goal, finish, room), engine

    return run
