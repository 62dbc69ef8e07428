"""Which targets are offered another unit, and what that changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.compose import compose_sweeps
from preflight.core.finding import Finding
from preflight.core.settings import Trust, parse
from preflight.pipeline.diagnosis import gather_facts
from preflight.pipeline.inspection import Inspection, inspect_task, open_task
from preflight.pipeline.targets import is_far
from preflight.rules import pf308_raw_target
from preflight.tasks.pytorch import PyTorchTask
from preflight.telemetry.recording import Recording
from preflight.trials.evaluation import evaluate

NAME = "target_normalization.y"
Look = Callable[..., tuple[PyTorchTask, Inspection]]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def _split(size: int, mean: float, std: float) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(size)
    x = torch.randn(size, 3, generator=generator)
    return {"x": x, "y": mean + std * (x[:, :1] + 0.3 * torch.randn(size, 1, generator=generator))}


def _in_logs(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output.clamp(min=1).log(), target.log())


@pytest.fixture
def look() -> Look:
    def run(
        *overrides: str, mean: float = 4000.0, std: float = 500.0, loss: Any = F.mse_loss
    ) -> tuple[PyTorchTask, Inspection]:
        model = {
            "factory": Net,
            "data": (_split(400, mean, std), _split(100, mean, std)),
            "inputs": ["x"],
            "targets": ["y"],
            "losses": {"error": loss},
            "baseline": {"lr": 0.01, "batch_size": 16},
            "horizon_steps": 100,
        }
        values = {**compose_sweeps(["device=cpu", *overrides]), "model": model}
        settings = parse(values, "small", None, Trust())
        task = open_task(settings)
        return task, inspect_task(settings, task, None)

    return run


@pytest.mark.parametrize(
    ("mean", "std", "far"),
    [
        (0.0, 1.0, False),
        (3.0, 1.0, False),
        (9.0, 9.0, False),
        (0.0, 50.0, True),
        (40.0, 1.0, True),
        (1.0, 0.01, True),  # a hundred deviations from zero
        (0.0, 1e-3, True),
        (0.0, 0.0, False),
    ],
)
def test_far_is_relative_to_where_outputs_begin(mean: float, std: float, far: bool) -> None:
    values = mean + std * torch.randn(500, 1, generator=torch.Generator().manual_seed(0)).double()
    assert is_far(values.where(torch.arange(500)[:, None] > 3, torch.nan)) is far


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss])
def test_a_distance_may_be_asked_in_other_units(loss: Any, look: Look) -> None:
    _, found = look(loss=loss)
    assert found.options[NAME] == ("none", "standardize")


@pytest.mark.parametrize("loss", [F.poisson_nll_loss, F.binary_cross_entropy_with_logits])
def test_a_likelihood_may_not(loss: Any, look: Look) -> None:
    task, found = look(loss=loss, mean=50.0, std=3.0)
    assert found.options[NAME] == ("none",)
    assert (NAME, "standardize") not in task.normalizers


def test_a_target_of_ordinary_size_is_offered_where_the_user_asks(look: Look) -> None:
    assert look(mean=0.0, std=1.0)[1].options[NAME] == ("none",)
    asked = look("space.target_normalization={y: [none, standardize]}", mean=0.0, std=1.0)
    assert asked[1].options[NAME] == ("none", "standardize")


def test_scores_compare_whatever_the_units(look: Look) -> None:
    """The same weights have the same score, though the losses that are trained differ by the square of the scale."""
    task, found = look()
    scaled = found.today.params.with_values({NAME: "standardize"})
    seen = []
    for params in (found.today.params, scaled):
        job = task.job(params)
        with torch.no_grad():
            job.network.model.layer.weight.zero_()
            at = 4000.0 if params is found.today.params else float((4000.0 - _center(task)) / _scale(task))
            job.network.model.layer.bias.fill_(at)
        seen.append(evaluate(job, task, found.references, 100, 16))
    assert seen[0].score == pytest.approx(seen[1].score, rel=1e-3)
    assert seen[0].losses["error"] == pytest.approx(seen[1].losses["error"] * _scale(task) ** 2, rel=1e-3)


def test_constants_are_known_in_the_units_that_are_trained(look: Look) -> None:
    task, found = look()
    own, scaled = found.today.params, found.today.params.with_values({NAME: "standardize"})
    plain, deviations = (found.constants_with(params)["error"] for params in (own, scaled))
    assert plain is not None
    assert deviations is not None
    assert deviations == pytest.approx(plain / _scale(task) ** 2, rel=1e-3)
    assert 0.5 < deviations < 2


@pytest.mark.parametrize(("loss", "settings"), [(F.mse_loss, {NAME: "standardize"}), (_in_logs, {})])
def test_the_remedy_of_a_raw_target_is_a_setting_where_it_can_be(loss: Any, settings: Any, look: Look) -> None:
    task, found = look(loss=loss)
    facts = gather_facts(task, found, 0) | {"losses": {"error": {"initial": 1e7}}}
    answer = pf308_raw_target.RULE.judge(Recording(Path(), {"params": asdict(found.today.params)}, facts, {}))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].settings == settings


def _scale(task: PyTorchTask) -> float:
    return float(task.normalizers[NAME, "standardize"]["scale"][0])


def _center(task: PyTorchTask) -> float:
    return float(task.normalizers[NAME, "standardize"]["center"][0])
