from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from preflight.probes.penalty import is_penalty
from preflight.tasks.base import NamedLoss

GENERATOR = torch.Generator().manual_seed(0)
OUTPUT = torch.randn(64, 8, generator=GENERATOR)
TARGETS = {"y": torch.randn(64, 8, generator=GENERATOR), "label": torch.arange(64) % 4}


def kl(code: Tensor, _target: Tensor) -> Tensor:
    mean, log_variance = code.chunk(2, dim=1)
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1).mean()


def info_nce(output: Tensor, _target: Tensor) -> Tensor:
    left, right = (F.normalize(item, dim=1) for item in output.chunk(2, dim=1))
    return F.cross_entropy(left @ right.T / 0.1, torch.arange(len(output)))


def spread_out(output: Tensor, _target: Tensor) -> Tensor:
    """The KoLeo regularizer: output by output far from its nearest neighbour."""
    points = F.normalize(output, dim=1)
    distances = (points[:, None] - points[None]).square().sum(dim=2) + 10 * torch.eye(len(points))
    return -(distances.min(dim=1).values + 1e-8).log().mean() / 2


def batch_variance(output: Tensor, _target: Tensor) -> Tensor:
    return F.relu(1 - output.std(dim=0)).mean()


@pytest.mark.parametrize(
    "function", [kl, lambda output, _target: output.square().mean(), lambda output, _: output.abs().mean() + 3]
)
def test_what_a_constant_satisfies_is_a_penalty(function: Callable[..., Tensor]) -> None:
    assert is_penalty(NamedLoss("loss", function, None, "y"), OUTPUT, TARGETS)


@pytest.mark.parametrize("function", [info_nce, spread_out, batch_variance])
def test_what_compares_samples_is_none_though_it_ignores_the_targets(function: Callable[..., Tensor]) -> None:
    assert not is_penalty(NamedLoss("loss", function, None, "y"), OUTPUT, TARGETS)


@pytest.mark.parametrize(("function", "target"), [(F.mse_loss, "y"), (F.l1_loss, "y"), (F.cross_entropy, "label")])
def test_what_takes_a_target_is_none(function: Callable[..., Tensor], target: str) -> None:
    assert not is_penalty(NamedLoss("loss", function, None, target), OUTPUT, TARGETS)


def test_a_target_that_is_the_same_for_all_asks_nothing_either() -> None:
    same = {"y": torch.ones(64, 8)}
    assert is_penalty(NamedLoss("loss", F.mse_loss, None, "y"), OUTPUT, same)


def test_an_output_is_picked_from_a_structure_and_nothing_of_it_changed() -> None:
    output: dict[str, Any] = {"image": OUTPUT.clone(), "code": OUTPUT.clone()}
    assert is_penalty(NamedLoss("kl", kl, "code", "y"), output, TARGETS)
    assert not is_penalty(NamedLoss("image", F.mse_loss, "image", "y"), output, TARGETS)
    assert torch.equal(output["code"], OUTPUT)


def test_a_loss_that_cannot_be_measured_is_none() -> None:
    assert not is_penalty(NamedLoss("loss", lambda output, _: output.sum() * float("nan"), None, "y"), OUTPUT, TARGETS)


def self_distillation(output: tuple[Tensor, Tensor], _target: Tensor) -> Tensor:
    student, teacher = output
    return -(teacher.softmax(dim=1) * student.log_softmax(dim=1)).sum(dim=1).mean()


def test_what_a_teacher_is_asked_for_is_none_although_a_constant_teacher_would_satisfy_it() -> None:
    student, teacher = OUTPUT.clone().requires_grad_(), 5 * OUTPUT.roll(1, dims=1)
    loss = NamedLoss("dino", self_distillation, None, "label")
    assert not is_penalty(loss, (student, teacher), TARGETS)
    assert is_penalty(loss, (student, teacher.requires_grad_()), TARGETS)
