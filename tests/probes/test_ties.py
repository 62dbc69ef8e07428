from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.params import Params
from preflight.probes.ties import shared_numbers, ties_of
from preflight.tasks.data import Batch

PARAMS = Params(lr=0.1, batch_size=8, normalization={"a": "none", "b": "none"})
GENERATOR = torch.Generator().manual_seed(0)
PART = {name: torch.randn(40, 3, generator=GENERATOR) for name in "ab"} | {"y": torch.randn(40, 2, generator=GENERATOR)}


class Twice(nn.Module):
    """One network for both inputs, or one for each."""

    def __init__(self, shared: bool, ends: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Linear(3, 2), ends)
        self.second = self.first if shared else nn.Sequential(nn.Linear(3, 2), ends)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(a), self.second(b)


def apart(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    return F.relu(1 - (output[0] - output[1]).norm(dim=1)).mean()


def near(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    return F.mse_loss(output[0], target) + apart(output, target)


def ties(make_task: Any, network: nn.Module, loss: Any, part: Batch = PART) -> dict[str, Any]:
    task = make_task(factory=lambda: network, data=(part, part), losses={"own": loss}, inputs=["a", "b"], targets=["y"])
    with torch.no_grad():
        output = network(part["a"], part["b"])
    return ties_of(task, PARAMS, 0, output, {"y": part["y"]})


@pytest.mark.parametrize("ends", [nn.Identity(), nn.ReLU(), nn.Sigmoid()], ids=type)
def test_what_one_network_makes_twice_is_one_constant(ends: nn.Module, make_task: Any) -> None:
    tie = ties(make_task, Twice(True, ends), apart)["own"]
    found = tie({(0,): torch.tensor([1.0, 2.0]), (1,): torch.tensor([3.0, 6.0])})
    assert {path: item.tolist() for path, item in found.items()} == {(0,): [2.0, 4.0], (1,): [2.0, 4.0]}
    assert tie(other := {(): torch.zeros(2)}) is other


@pytest.mark.parametrize("ends", [nn.Identity(), nn.ReLU(), nn.Hardtanh(-0.1, 0.1)], ids=type)
def test_two_networks_have_a_constant_each(ends: nn.Module, make_task: Any) -> None:
    assert ties(make_task, Twice(False, ends), apart) == {}


def test_a_loss_of_targets_keeps_a_constant_for_every_place(make_task: Any) -> None:
    assert ties(make_task, Twice(True, nn.Identity()), near) == {}


def test_a_model_that_refuses_inputs_alike_has_no_ties(make_task: Any) -> None:
    class Careful(Twice):
        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            assert not torch.equal(a, b)
            return super().forward(a, b)

    assert ties(make_task, Careful(True, nn.Identity()), apart) == {}


@pytest.mark.parametrize("output", [torch.zeros(()), torch.full((2, 3), torch.nan), torch.ones(2, 1), object()])
def test_nothing_is_shared_where_there_is_nothing_to_compare(output: Any) -> None:
    assert shared_numbers([output] * 5) is None


def test_answers_alone_are_shared() -> None:
    """Beside them the teacher's numbers, equal to each other, are no constant that could be tied."""
    draws = [(torch.randn(2, 3, generator=torch.Generator().manual_seed(seed)), torch.ones(2, 4)) for seed in range(5)]
    twice = [(first, second, first.clone()) for first, second in draws]
    assert shared_numbers(draws, {(0,)}) is None
    shared = shared_numbers(twice, {(0,), (2,)})
    assert shared is not None
    found = shared({(0,): torch.zeros(3), (2,): torch.ones(3)})
    assert {path: item.tolist() for path, item in found.items()} == {(0,): [0.5] * 3, (2,): [0.5] * 3}
