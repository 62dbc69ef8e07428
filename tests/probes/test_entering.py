from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.params import Params
from preflight.probes.entering import entering

PARAMS = Params(lr=0.1, batch_size=8)


def ignores(output: Tensor, _target: Any) -> Tensor:
    return output.square().mean()


def margin(output: Tensor, target: Tensor) -> Tensor:
    """Kept by the model's own output, whatever the target."""
    return (-10 - output[:, :1] * target).relu().mean()


def used(make_task: Any, loss: Any, target: Tensor, **changes: Any) -> frozenset[str]:
    part = {"x": torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), "y": target}
    task = make_task(data=(part, part), losses={"own": loss}, inputs=["x"], targets=["y"], **changes)
    return entering(task, PARAMS, 0)


@pytest.mark.parametrize("target", [torch.ones(40), torch.arange(40) % 4, torch.ones(40, dtype=torch.bool)])
def test_a_placeholder_does_not_enter(target: Tensor, make_task: Any) -> None:
    assert used(make_task, ignores, target) == frozenset()


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (F.cross_entropy, torch.arange(40) % 4),
        (F.cross_entropy, torch.full((40,), 3)),  # one more is no class
        (F.mse_loss, torch.ones(40, 4)),
        (margin, 1e3 * torch.ones(40, 1)),
        (lambda output, target: output.mean() * torch.nan, torch.ones(40)),
    ],
)
def test_a_target_that_a_loss_takes_enters_constant_or_not(loss: Any, target: Tensor, make_task: Any) -> None:
    assert used(make_task, loss, target) == {"y"}


def test_a_target_of_the_metric_alone_enters(make_task: Any) -> None:
    metric = {"function": lambda output, target: (output.mean() - target.float().mean()).abs(), "goal": "minimize"}
    assert used(make_task, ignores, torch.ones(40), metric=metric) == {"y"}


def test_each_of_several_targets_is_asked_alone(make_task: Any) -> None:
    part = {"x": torch.randn(40, 3), "y": torch.randn(40, 4), "spare": torch.ones(40)}
    losses = {"own": lambda output, targets: F.mse_loss(output, targets["y"])}
    task = make_task(data=(part, part), losses=losses, inputs=["x"], targets=["y", "spare"])
    assert entering(task, PARAMS, 0) == {"y"}


def test_all_of_a_model_that_fails_enter(make_task: Any) -> None:
    assert used(make_task, ignores, torch.ones(40), factory=lambda: nn.Linear(7, 4)) == {"y"}
