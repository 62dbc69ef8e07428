from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from preflight.core.params import Params
from preflight.probes import memory
from preflight.probes.growth import STEPS
from preflight.probes.memory import look_at_memory


def look(task: Any, batch_size: int = 16) -> dict[str, Any]:
    found = look_at_memory(task, Params(lr=0.1, batch_size=batch_size), 0)
    json.dumps(found)
    return found["memory"]  # type: ignore[no-any-return]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))


def cnn() -> nn.Module:
    body = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU())
    return nn.Sequential(body, nn.Flatten(), nn.Linear(24, 4))


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True)
    return nn.Sequential(nn.Linear(3, 32), nn.Unflatten(1, (4, 8)), layer, nn.Flatten(), nn.Linear(32, 4))


@pytest.mark.parametrize("factory", [mlp, cnn, transformer])
def test_a_size_that_was_never_run_is_predicted(factory: Any, make_task: Any) -> None:
    found = look(make_task(factory=factory), 16)
    assert list(found["measured"]) == ["4", "8", "16"]
    later = look(make_task(factory=factory), 40)["measured"]["40"]
    assert found["fixed"] + 40 * found["per_sample"] == pytest.approx(later, rel=0.05)
    assert found["per_sample"] > 0 and found["fixed"] > 0


def test_the_fixed_part_is_weights_gradients_and_the_state_of_the_optimizer(make_task: Any) -> None:
    found = look(make_task(factory=lambda: nn.Linear(3, 4), optimizer=torch.optim.SGD))
    weights = 4 * (3 * 4 + 4)
    assert 2 * weights <= found["fixed"] < 3 * weights
    adam = look(make_task(factory=lambda: nn.Linear(3, 4), optimizer=torch.optim.Adam))
    assert adam["fixed"] - found["fixed"] == pytest.approx(2 * weights, abs=16)


def test_what_is_saved_twice_is_counted_once(make_task: Any) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 4)

        def forward(self, values: Tensor) -> Tensor:
            wide = self.head(values).exp()  # saves its result
            return wide * wide.detach() + wide * wide.detach()

    once = look(make_task(factory=Twice))["per_sample"]
    assert once < 4 * (3 + 4 * 6 + 4)


def test_on_the_cpu_there_is_no_capacity(make_task: Any) -> None:
    found = look(make_task())
    assert (found["capacity"], found["out_of_memory"]) == (None, None)
    assert len(found["after_steps"]) == len(found["nodes_after_steps"]) == STEPS


class Meter:
    """A device whose peak is at the end of the backward pass, until what the forward pass saves outgrows that."""

    def __init__(self) -> None:
        self.capacity = 10**6
        self.size = 0

    @property
    def held(self) -> int:
        return 1000 + 100 * self.size

    @property
    def peak(self) -> int:
        return max(5000 + 10 * self.size, self.held)

    @contextmanager
    def watching(self) -> Iterator[None]:
        yield


def test_sizes_are_doubled_until_they_lie_on_the_line_of_what_is_saved(
    make_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, loss = Meter(), memory.weighted_loss

    def weighted(job: Any, task: Any, batch: Any) -> Tensor:
        meter.size = len(batch["input"])
        return loss(job, task, batch)

    monkeypatch.setattr(memory, "_Saved", lambda job: meter)
    monkeypatch.setattr(memory, "weighted_loss", weighted)
    found = look(make_task(), 8)
    assert list(found["measured"]) == ["2", "4", "8", "16", "32", "64", "128", "256"]
    assert (found["fixed"], found["per_sample"]) == (1000.0, 100.0)
    meter.capacity = 12_000
    assert list(look(make_task(), 8)["measured"])[-1] == "64"  # the next one might not fit


def test_one_size_makes_no_line(make_task: Any) -> None:
    found = look(make_task(), 1)
    assert list(found["measured"]) == ["1"]
    assert "fixed" not in found


def test_what_does_not_fit_is_said(make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    take = memory.take_step

    def small_only(job: Any, task: Any, batch: Any) -> None:
        if len(batch["input"]) > 8:
            raise torch.OutOfMemoryError("too large")
        take(job, task, batch)

    monkeypatch.setattr(memory, "take_step", small_only)
    found = look(make_task())
    assert (list(found["measured"]), found["out_of_memory"], "after_steps" in found) == (["4", "8"], 16, False)
