"""Other ways to weigh the losses: when they are compared, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflight.advise.balanced import Balanced
from preflight.advise.diagnosis import Diagnosis, Judged
from preflight.cli.main import main
from preflight.cli.tables import show_weights
from preflight.cli.terminal import make_console
from preflight.core.finding import WARNING, Finding, Remedy
from preflight.core.search_settings import BALANCINGS
from preflight.pipeline.balancing import methods_to_compare
from preflight.report.weights import weight_table
from preflight.rules.registry import RULES
from preflight.telemetry import store

AXES = ("lr", "loss_weights.b")
PROJECT = """
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 16), nn.Tanh())
        self.heads = nn.ModuleDict({"near": nn.Linear(16, 1), "far": nn.Linear(16, 1)})

    def forward(self, x):
        found = self.body(x)
        return {name: head(found) for name, head in self.heads.items()}


def split(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(200, 4, generator=generator)
    return {"x": x, "near": x[:, :1] * x[:, 1:2], "far": x[:, 2:3] * x[:, 3:]}


def load():
    return split(0), split(1)


def loud(output, target):
    return 1e4 * F.mse_loss(output, target)
"""
YAML = """
factory: {_target_: two_losses.Net}
data: {_target_: two_losses.load}
inputs: [x]
targets: [near, far]
losses:
  near: {function: torch.nn.functional.mse_loss, output: near, target: near}
  far: {function: two_losses.loud, output: far, target: far}
optimizer: {_target_: torch.optim.SGD, _partial_: true}
horizon_steps: 80
config: train.yaml
mapping: {lr: lr, batch_size: batch, loss_weights.near: near, loss_weights.far: far}
"""


def write_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model").mkdir()
    (folder / "two_losses.py").write_text(PROJECT)
    (folder / "model" / "two.yaml").write_text(YAML)
    (folder / "model" / "train.yaml").write_text("lr: 1.0e-5\nbatch: 20\nnear: 1.0\nfar: 1.0\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))


def arguments(folder: Path) -> list[str]:
    return ["--config-dir", str(folder), "+model=two", "budget=smoke", "workers=1", "run_dir=run"]


def diagnosis(*settings: dict[str, float]) -> Diagnosis:
    found = [Finding(WARNING, "x", (), (Remedy("do", item),), where="x") for item in settings]
    return Diagnosis(tuple(Judged(RULES[0], item) for item in found), (), ())


@pytest.mark.parametrize(
    ("chosen", "remedies", "axes", "expected"),
    [
        (None, [{"lr": 0.1}, {"loss_weights.b": 0.1}], AXES, BALANCINGS),
        (None, [{"lr": 0.1}], AXES, ()),
        (None, [{"loss_weights.b": 0.1}], ("lr",), ()),
        (("gradnorm",), [], AXES, ("gradnorm",)),
        (("gradnorm",), [], ("lr",), ()),
        ((), [{"loss_weights.b": 0.1}], AXES, ()),
    ],
)
def test_they_are_compared_where_a_finding_or_the_user_asks(
    chosen: Any, remedies: list[dict[str, float]], axes: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert methods_to_compare(chosen, diagnosis(*remedies), axes) == expected


def test_a_loss_that_drowns_another_gets_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    write_project(tmp_path, monkeypatch)
    assert main(arguments(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "PF403" in printed
    assert "uncertainty weighting, as it goes" in printed
    document = store.read_json(tmp_path / "run" / store.LOSS_WEIGHTS)
    names = [(item["name"], item["follow"]) for item in document["rows"]]
    assert {("GradNorm", True), ("GradNorm's, held", False), ("equal gradients", False)} <= set(names)
    weights = {item["name"]: item["weights"] for item in document["rows"] if not item["follow"]}
    assert weights["equal gradients"]["far"] < 1e-2 * weights["equal gradients"]["near"]
    assert "Loss weights" in (tmp_path / "run" / store.REPORT).read_text()
    kept = [path.name for path in (tmp_path / "run" / store.TRIALS).glob("balance-*")]
    assert sorted(kept) == [f"balance-{index:03d}" for index in range(4)]


def test_a_table_without_rows_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    table = weight_table(Balanced(left_out="no loss has a gradient").as_dict(), {})
    show_weights(make_console(), table)
    assert capsys.readouterr().out == "Loss weights not proposed: no loss has a gradient.\n"
    assert weight_table(None, {}) is None
    lost = weight_table(Balanced(lost=("GradNorm",)).as_dict(), {})
    assert lost is not None and lost.note == "No run with GradNorm came to its end."


def test_without_facts_of_the_losses_nothing_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A probe that the user's model breaks leaves its facts out, and ends no run."""

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("not in this mode")

    monkeypatch.setattr("preflight.pipeline.diagnosis.look_at_losses", broken)
    write_project(tmp_path, monkeypatch)
    assert main([*arguments(tmp_path), "space.balancing=[gradnorm]"]) == 0
    assert "Loss weights not proposed: fewer than two losses" in capsys.readouterr().out
