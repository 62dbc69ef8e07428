from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from preflight.telemetry.loop import LoopWatch

Loop = Callable[[nn.Module, torch.optim.Optimizer, Tensor], None]


def tidy(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensor) -> None:
    for _ in range(4):
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()


def zeroed_afterwards(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensor) -> None:
    for _ in range(4):
        model(batch).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)


def accumulating(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensor) -> None:
    for _ in range(4):
        optimizer.zero_grad()
        for part in batch.chunk(3):
            (model(part).square().mean() / 3).backward()
        optimizer.step()


def forgetful(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensor) -> None:
    for _ in range(4):
        model(batch).square().mean().backward()
        optimizer.step()


def watched(loop: Loop, optimizer: type[torch.optim.Optimizer] = torch.optim.SGD) -> tuple[dict[str, Any], nn.Module]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    own = optimizer(model.parameters(), lr=0.1)  # type: ignore[call-arg]
    watch = LoopWatch(model, list(model.parameters()), own)
    loop(model, own, torch.randn(12, 3))
    watch.close()
    return watch.facts()["loop"], model


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize(
    ("loop", "stale"), [(tidy, False), (zeroed_afterwards, False), (accumulating, False), (forgetful, True)]
)
def test_gradients_of_the_step_before_are_told_from_those_of_micro_batches(
    loop: Loop, stale: bool, optimizer: type[torch.optim.Optimizer]
) -> None:
    facts, _ = watched(loop, optimizer)
    assert facts == {"stale_gradients": stale, "evaluations": 0, "evaluated_in_training_mode": 0}


@pytest.mark.parametrize(("mode", "counted"), [(True, 2), (False, 0)])
def test_the_mode_of_passes_without_gradients_is_counted(mode: bool, counted: int) -> None:
    def validating(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensor) -> None:
        tidy(model, optimizer, batch)
        model.train(mode)
        with torch.no_grad():
            model(batch)
        with torch.inference_mode():
            model(batch)

    facts, _ = watched(validating)
    assert (facts["evaluations"], facts["evaluated_in_training_mode"]) == (2, counted)


def test_looking_on_changes_nothing_and_leaves_nothing_behind() -> None:
    _, model = watched(tidy)
    torch.manual_seed(0)
    other = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    tidy(other, torch.optim.SGD(other.parameters(), lr=0.1), torch.randn(12, 3))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert not model._forward_pre_hooks
    assert not any(item._backward_hooks for item in model.parameters())
