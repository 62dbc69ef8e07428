"""Whole numbers as targets: amounts where a loss measures how far off they are, else classes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import NegativeBinomial
from torch.nn import functional as F

from preflight.core.params import Params
from preflight.probes.amounts import amounts
from preflight.tasks.pytorch import PyTorchTask

MakeTask = Callable[..., PyTorchTask]
Loss = Callable[[Tensor, Tensor], Tensor]
PARAMS = Params(lr=0.1, batch_size=16)


def is_amount(make_task: MakeTask, loss: Loss, outputs: int, values: int = 5, dtype: torch.dtype = torch.long) -> bool:
    def part(seed: int) -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(seed)
        return torch.randn(40, 3, generator=draw), torch.randint(0, values, (40,), generator=draw).to(dtype)

    task = make_task(factory=lambda: nn.Linear(3, outputs), data=(part(0), part(1)), losses={"loss": loss})
    return amounts(task, PARAMS, 0) == {"target"}


def squared(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output[:, 0], target.float())


def counted(output: Tensor, target: Tensor) -> Tensor:
    return F.poisson_nll_loss(output[:, 0], target)


def dispersed(output: Tensor, target: Tensor) -> Tensor:
    return -NegativeBinomial(output[:, 0].exp(), logits=output[:, 1]).log_prob(target).mean()


def gaussian(output: Tensor, target: Tensor) -> Tensor:
    return F.gaussian_nll_loss(output[:, 0], target.float(), output[:, 1].exp())


def relative(output: Tensor, target: Tensor) -> Tensor:
    return (output[:, 0] - target.float().log1p()).abs().mean()


@pytest.mark.parametrize("loss", [squared, counted, dispersed, gaussian, relative])
@pytest.mark.parametrize("values", [5, 90, 10_000_000])
def test_whole_numbers_that_a_loss_measures_are_amounts(loss: Loss, values: int, make_task: MakeTask) -> None:
    assert is_amount(make_task, loss, 2, values)
    assert is_amount(make_task, loss, 2, values, torch.float32)


def test_a_likelihood_that_begins_at_zero_outputs_measures_all_the_same(make_task: MakeTask) -> None:
    def zeros() -> nn.Module:
        layer = nn.Linear(3, 1)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    part = {"x": torch.randn(40, 3), "target": torch.arange(40) % 5}
    assert amounts(make_task(factory=zeros, data=(part, part), losses={"loss": counted}), PARAMS, 0) == {"target"}


def focal(output: Tensor, target: Tensor) -> Tensor:
    right = output.log_softmax(dim=1).gather(1, target.long().unsqueeze(1))
    return -((1 - right.exp()).square() * right).mean()


def one_hot(output: Tensor, target: Tensor) -> Tensor:
    return -(F.one_hot(target.long(), 5) * output.log_softmax(dim=1)).sum(dim=1).mean()


def contrast(output: Tensor, target: Tensor) -> Tensor:
    alike = (target[:, None] == target[None]).float()
    return ((output @ output.T).sigmoid() - alike).square().mean()


def ordered(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output, (target[:, None] > torch.arange(5)).float())


def ordered_at_least(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output, (target[:, None] >= torch.arange(5)).float())


def expected(output: Tensor, target: Tensor) -> Tensor:
    mean = (output.softmax(dim=1) * torch.arange(5)).sum(dim=1)
    return F.cross_entropy(output, target.long()) + 0.1 * (mean - target.round()).square().mean()


def unused(output: Tensor, _target: Tensor) -> Tensor:
    return output.square().mean()


@pytest.mark.parametrize(
    "loss", [F.cross_entropy, focal, one_hot, contrast, ordered, ordered_at_least, expected, unused]
)
def test_labels_that_a_loss_looks_up_are_classes(loss: Loss, make_task: MakeTask) -> None:
    assert not is_amount(make_task, loss, 5)
    assert not is_amount(make_task, loss, 5, dtype=torch.uint8)


def test_of_two_values_both_views_are_one(make_task: MakeTask) -> None:
    assert not is_amount(make_task, squared, 1, values=2)


def test_a_target_is_one_of_classes_where_any_of_its_losses_looks_it_up(make_task: MakeTask) -> None:
    task = make_task(losses={"class": F.cross_entropy, "far": squared})
    assert amounts(task, PARAMS, 0) == frozenset()


def test_bytes_of_a_picture_are_amounts(make_task: MakeTask) -> None:
    pixels = torch.randint(0, 256, (40, 12), dtype=torch.uint8)
    parts = (({"x": torch.randn(40, 3), "target": pixels}),) * 2
    losses = {"mse": lambda output, target: F.mse_loss(output, target / 255)}
    assert amounts(make_task(factory=lambda: nn.Linear(3, 12), data=parts, losses=losses), PARAMS, 0) == {"target"}


def test_several_targets_are_told_apart_and_nothing_is_left_behind(make_task: MakeTask) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kind, self.stars = nn.Linear(3, 4), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"kind": self.kind(x), "stars": self.stars(x)}

    part = {"x": torch.randn(40, 3), "kind": torch.arange(40) % 4, "stars": torch.randint(1, 6, (40, 2))}
    losses = {
        "ce": {"function": F.cross_entropy, "output": "kind", "target": "kind"},
        "mae": {"function": lambda o, t: (o - t).abs().mean(), "output": "stars", "target": "stars"},
    }
    own = Two()
    task = make_task(factory=lambda: own, data=(part, part), losses=losses, inputs=["x"], targets=["kind", "stars"])
    own.eval()
    state, validated = torch.get_rng_state(), torch.distributions.Distribution._validate_args
    assert amounts(task, PARAMS, 0) == {"stars"}
    assert torch.equal(torch.get_rng_state(), state)
    assert not own.training
    assert torch.distributions.Distribution._validate_args is validated


def test_a_model_that_fails_leaves_it_to_the_dtype(make_task: MakeTask) -> None:
    part = {"x": torch.randn(40, 7), "target": torch.arange(40)}
    assert amounts(make_task(data=(part, part), losses={"mse": squared}), PARAMS, 0) == frozenset()
