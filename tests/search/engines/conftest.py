from __future__ import annotations

import multiprocessing.forkserver
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from preflight.core.params import Params
from preflight.core.settings import Settings, Trust, parse
from preflight.search.engines.base import Recipe
from preflight.telemetry import store
from preflight.trials.lab import TrialSpec

# A task that fails in a chosen way where its factory is told to.
MODULE = """
import os
import signal
import time
from pathlib import Path

import torch
from torch import nn


def wait_for_another(log):
    deadline = time.monotonic() + 60
    while len(set(log.read_text().split())) < 2:
        if time.monotonic() > deadline:
            raise TimeoutError("nobody else came")
        time.sleep(0.01)


def load_data():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, 3, generator=generator)
    targets = inputs.sum(dim=1, keepdim=True)
    return (inputs[:40], targets[:40]), (inputs[40:], targets[40:])


class Killed(nn.Module):
    # Passes its input on, and its process is killed in the eighth training step, the first time.
    def __init__(self, log):
        super().__init__()
        self.steps, self.first = 0, len(log.read_text().split()) == 1

    def forward(self, values):
        self.steps += self.training
        if self.first and self.steps == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return values


def build(fate="live", dropout=0.5, place="."):
    with open(Path(place, f"{fate}.log"), "a") as log:
        log.write(f"{os.getpid()}\\n")
    if fate in ("SIGKILL", "SIGSEGV"):
        os.kill(os.getpid(), signal.Signals[fate])
    if fate == "killed once" and len(Path(place, f"{fate}.log").read_text().split()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "meet":
        wait_for_another(Path(place, "meet.log"))
    if fate == "hang":
        time.sleep(3600)
    if fate == "leave":
        os._exit(3)
    if fate == "crash":
        raise ValueError("no such fate")
    if fate == "interrupt":
        raise KeyboardInterrupt
    last = Killed(Path(place, f"{fate}.log")) if fate == "killed late" else nn.Identity()
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1), last)
"""
BUDGET = {
    "trials": 1,
    "trial_steps": 10,
    "rungs": 2,
    "range_steps": 8,
    "range_seeds": 1,
    "candidates": 1,
    "seeds": 2,
    "confirm_steps": 10,
    "validation_samples": 15,
}

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a small task in a module of its own, in a folder that this process does not import from."""
    folder = tmp_path_factory.mktemp("project").resolve()
    (folder / "users_engine_task.py").write_text(MODULE, encoding="utf-8")
    model = {
        "factory": {"_target_": "users_engine_task.build"},
        "data": {"_target_": "users_engine_task.load_data"},
        "losses": {"mse": "torch.nn.functional.mse_loss"},
        "optimizer": {"_target_": "torch.optim.SGD", "momentum": 0.9},
    }
    path = list(sys.path)
    yield parse({"model": model, "budget": BUDGET}, "small", None, Trust((folder,)))
    sys.path[:] = path
    sys.modules.pop("users_engine_task", None)


@pytest.fixture(scope="session")
def make_recipe(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> MakeRecipe:
    """A recipe of a lab with a run directory of its own."""

    def make(used: Settings = settings) -> Recipe:
        run_dir = store.create_folder(tmp_path_factory.mktemp("run"))
        normalizers = {("normalization.input", "standardize"): {"center": [0.5] * 3, "scale": [2.0] * 3}}
        return Recipe(used, "cpu", normalizers, {"mse": 3.0}, run_dir, 8)

    return make


@pytest.fixture(scope="session")
def make_spec(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrialSpec]:
    """A trial whose factory meets a fate, and leaves a line in a log of its name in its ``place``."""
    place = str(tmp_path_factory.mktemp("place"))

    def make(index: int, fate: str = "live", **values: object) -> TrialSpec:
        extras = {"fate": fate, "place": place}
        params = Params(lr=0.01, batch_size=8, extras=extras).with_values(values)  # type: ignore[arg-type]
        return TrialSpec("confirm", index, params, index, 10, 2)

    return make


@pytest.fixture(scope="session")
def workers() -> Callable[[], list[int]]:
    """Process ids of the workers that are alive: children of the fork server."""

    def alive() -> list[int]:
        server = multiprocessing.forkserver._forkserver._forkserver_pid
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
            except OSError:  # ended while we looked
                continue
            if int(parent) == server and state != "Z":
                found.append(int(path.parent.name))
        return found

    return alive


@pytest.fixture(autouse=True)
def as_the_settings_say(one_thread: None) -> None:
    """As the settings say: a recipe sets the number of threads of its process."""
