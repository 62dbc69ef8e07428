"""A training project of a user, as preflight meets it: a module, a model file, a config to correct."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A shell's background job ignores Ctrl-C, and so would every command that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, so that a red build is the change's doing; HYPOTHESIS_PROFILE=wide looks further.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("wide", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

MODULE = '''\
"""Where a shell lands and how long it flies, from the height of the gun in metres and its angles."""

import torch
from torch import nn


def load_data(samples=400):
    generator = torch.Generator().manual_seed(7)
    height = 3000 + 500 * torch.randn(samples, 1, generator=generator)
    angles = torch.rand(samples, 2, generator=generator)
    noise = 0.05 * torch.randn(samples, 1, generator=generator)
    unit = (height - 3000) / 500
    distance = unit + angles.sum(dim=1, keepdim=True) + noise
    time = angles[:, :1] - angles[:, 1:] + 0.5 * unit
    fields = {"height": height, "angles": angles, "distance": distance, "time": time}
    cut = samples * 3 // 4
    return {k: v[:cut] for k, v in fields.items()}, {k: v[cut:] for k, v in fields.items()}


class Ballistics(nn.Module):
    def __init__(self, width=16, dropout=0.0):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Dropout(dropout))
        self.out = nn.Linear(width, 2)

    def forward(self, height, angles):
        both = self.out(self.body(torch.cat([height, angles], dim=1)))
        return {"distance": both[:, :1], "time": both[:, 1:]}


def build(width=16, dropout=0.0):
    return Ballistics(width, dropout)


def worst_miss(output, target):
    return (output["distance"] - target["distance"]).abs().max()
'''

MODEL = """\
factory: {_target_: MODULE.build, width: 24}
data: {_target_: MODULE.load_data}
inputs: [height, angles]
targets: [distance, time]
losses:
  distance: {function: torch.nn.functional.mse_loss, output: distance, target: distance}
  time: {function: torch.nn.functional.l1_loss, output: time, target: time}
metric: {function: MODULE.worst_miss, goal: minimize}
components: {body: "body.*", out: "out.*"}
config: train.yaml
mapping:
  lr: training.optim.lr
  warmup_epochs: training.schedule.warmup
  horizon_epochs: training.schedule.epochs
  batch_size: training.loader.batch_size
  normalization.height: inputs.height
"""

# Two faults that no budget can miss: heights in the thousands, and a learning rate far too high.
TRAIN = """\
# Ballistics, third attempt.   python train.py train.yaml
name: "ballistics-${training.schedule.epochs}"   # shown in the tracker

inputs:
    angles: raw      # already 0..1

training:
    optim: {name: adamw, lr: 0.3}   # "bigger is faster"
    loader:
        batch_size: 20
    schedule:
        epochs: 8        # an hour
        warmup: 0        # TODO
"""

# Seconds, and enough to find those two: a quarter of this space mends both.
SMALL = (
    "space.lr=[0.3, 0.03]",
    "space.normalization={height: [none, standardize]}",
    "space.loss_weights=keep",
    "space.warmup_fraction=keep",
    "budget=smoke",
    "workers=1",
    "budget.trials=12",
    "budget.trial_steps=40",
    "budget.range_seeds=1",
    "budget.seeds=3",
    "budget.confirm_steps=60",
)

Preflight = Callable[..., "subprocess.CompletedProcess[str]"]
MakeProject = Callable[..., Path]


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """Overrides of a run that takes seconds and sees the faults of the project."""
    return SMALL


@pytest.fixture(scope="session")
def small_with() -> Callable[..., list[str]]:
    """The same with other overrides, which take the place of those with their key."""

    def combine(*overrides: str) -> list[str]:
        keys = {override.partition("=")[0] for override in overrides}
        return [*(item for item in SMALL if item.partition("=")[0] not in keys), *overrides]

    return combine


@pytest.fixture(scope="session")
def console_script() -> Path:
    """`preflight` as it was installed beside this Python."""
    path = Path(sys.executable).with_name("preflight")
    assert path.exists(), f"{path} is not there: install the project first"
    return path


@pytest.fixture(scope="session")
def preflight(console_script: Path) -> Preflight:
    """Run the command in a folder, as a user does; returns what it printed and its exit code."""

    def run(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [console_script, *arguments],
            cwd=folder,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def make_project() -> MakeProject:
    """Write the project into a folder: ``module``.py, train.yaml and conf/model/``module``.yaml."""

    def make(folder: Path, module: str = "mine") -> Path:
        (folder / "conf" / "model").mkdir(parents=True)
        (folder / f"{module}.py").write_text(MODULE, encoding="utf-8")
        (folder / "conf" / "model" / f"{module}.yaml").write_text(MODEL.replace("MODULE", module), encoding="utf-8")
        (folder / "train.yaml").write_text(TRAIN, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def fresh_imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Forget afterwards what was imported from ``tmp_path`` in this process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads of a small model wait for each other most of the time, and take the cores from workers."""
    import torch  # noqa: PLC0415  # most tests of the command line do without it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
