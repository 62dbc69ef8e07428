from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from preflight.core.errors import TaskError
from preflight.probes.sense import check_sense, falls_without_end, within_reach
from preflight.tasks.base import NamedLoss

OUTPUT = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
TARGETS = {"y": torch.arange(16) % 4}


@pytest.mark.parametrize(
    "function",
    [lambda output, target: 0 * F.cross_entropy(output, target), lambda output, _: (output - output + 3.5).mean()],
)
def test_a_loss_that_is_the_same_whatever_the_output_is_refused(function: Callable[..., Tensor]) -> None:
    with pytest.raises(TaskError, match=r"the loss 'own' is .* whatever the model answers"):
        check_sense((NamedLoss("own", function, None, None),), OUTPUT, TARGETS)


@pytest.mark.parametrize(
    "function",
    [
        F.cross_entropy,
        lambda output, _: F.relu(output.norm(dim=1) - 4).mean(),  # satisfied before training, and not always
        lambda output, _: (output - output).mean() / 0.0,  # not finite: others say so
    ],
)
def test_any_other_loss_makes_sense(function: Callable[..., Tensor]) -> None:
    check_sense((NamedLoss("own", function, None, None),), OUTPUT, TARGETS)


def test_targets_far_beyond_the_outputs_hide_no_loss() -> None:
    far = {"y": torch.linspace(-1e8, 1e8, 16).unsqueeze(1).expand(16, 4).contiguous()}
    check_sense((NamedLoss("mse", F.mse_loss, None, "y"),), OUTPUT, far)
    check_sense((NamedLoss("l1", F.l1_loss, None, "y"),), OUTPUT, {"y": 1e8 * torch.ones(16, 4)})


def test_a_part_of_a_structure_is_looked_at_alone() -> None:
    loss = NamedLoss("own", lambda output, _: (0 * output).sum(), "b", None)
    with pytest.raises(TaskError, match="'own' is 0 "):
        check_sense((loss,), {"a": OUTPUT, "b": OUTPUT}, TARGETS)


@pytest.mark.parametrize(
    ("function", "endless"),
    [
        (lambda output, _: output.mean(), True),
        (lambda output, _: -output.square().mean() - output.sum(), True),
        (F.cross_entropy, False),
        (lambda output, _: -50 + output.square().mean() + output.mean(), False),
        (lambda output, _: -F.cosine_similarity(output, torch.ones_like(output)).mean(), False),
        (lambda output, _: F.softplus(output).log().mean(), True),
    ],
)
def test_a_loss_that_falls_without_end_is_told_from_one_that_is_negative(
    function: Callable[..., Tensor], endless: bool
) -> None:
    assert falls_without_end(NamedLoss("own", function, None, None), OUTPUT, TARGETS) == endless


def test_a_likelihood_of_counts_below_zero_is_within_reach() -> None:
    """Its best constant is ``m - m ln(m)``, below zero for a mean count beyond e."""
    output, counts = torch.zeros(16, 1), {"y": torch.full((16, 1), 3.0)}
    best = 3 - 3 * math.log(3)
    assert best < 0
    assert within_reach(NamedLoss("poisson", F.poisson_nll_loss), output, counts, 16, best) == best


def test_a_loss_ends_where_only_what_has_no_graph_could_go_on() -> None:
    answer, given = OUTPUT.clone().requires_grad_(), OUTPUT.square()
    loss = NamedLoss("own", lambda output, _: (output[0].sigmoid() * output[1]).mean() - output[1].mean())
    assert not falls_without_end(loss, (answer, given), TARGETS)
    assert falls_without_end(loss, (answer, given.requires_grad_()), TARGETS)
