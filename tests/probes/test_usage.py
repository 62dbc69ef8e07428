from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.params import Params
from preflight.probes.usage import FITTED, look_at_usage

TODAY = Params(lr=0.05, batch_size=8)


class Deaf(nn.Linear):
    def forward(self, values: Tensor) -> Tensor:
        return super().forward(torch.ones_like(values))


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 4))


def test_a_model_that_uses_its_input(make_task: Any) -> None:
    facts = look_at_usage(make_task(factory=wide), TODAY, 0)
    used = facts["inputs_used"]
    assert all(value > 1e-3 for value in used["sensitivity"].values())
    assert used["real"] < used["zeroed"]
    assert used["fields"]["input"] > 1e-3
    json.dumps(facts)


def test_a_model_that_ignores_its_input(make_task: Any) -> None:
    used = look_at_usage(make_task(factory=lambda: Deaf(3, 4)), TODAY, 0)["inputs_used"]
    assert used["sensitivity"] == {"initial": 0.0, "later": 0.0, "perturbed": 0.0}
    assert used["real"] == used["zeroed"] == used["shuffled"]


def test_a_head_that_starts_at_zero_uses_its_input_later(make_task: Any) -> None:
    def zero_head() -> nn.Module:
        model = wide()
        nn.init.zeros_(model[-1].weight)
        return model

    found = look_at_usage(make_task(factory=zero_head), TODAY, 0)["inputs_used"]["sensitivity"]
    assert found["initial"] == 0.0
    assert min(found["later"], found["perturbed"]) > 1e-3


def test_a_field_that_is_not_used_is_told_from_the_others(make_task: Any) -> None:
    class First(nn.Linear):
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return super().forward(first)

    data = tuple(
        {"first": torch.randn(40, 3), "second": torch.randn(40, 3), "mask": torch.ones(40), "y": torch.arange(40) % 4}
        for _ in range(2)
    )
    inputs = {"inputs": ["first", "second"], "targets": ["y"]}
    found = look_at_usage(make_task(factory=lambda: First(3, 4), data=data, **inputs), TODAY, 0)["inputs_used"]
    assert found["fields"]["second"] == 0.0 < found["fields"]["first"]


def test_one_batch_can_be_fitted_at_today_s_learning_rate(make_task: Any) -> None:
    fit = look_at_usage(make_task(factory=wide), TODAY, 0)["batch_fit"]
    assert fit["last"] < FITTED * fit["constant"]
    assert (fit["lr"], len(fit["tried"])) == (TODAY.lr, 1)


@pytest.mark.parametrize("lr", [5e-6, 50.0])
def test_a_learning_rate_far_off_is_not_taken_for_a_broken_model(lr: float, make_task: Any) -> None:
    fit = look_at_usage(make_task(factory=wide), Params(lr=lr, batch_size=8), 0)["batch_fit"]
    assert fit["last"] < fit["tried"][0]["last"] or fit["tried"][0]["last"] is None
    assert fit["lr"] != lr


def test_a_model_that_cannot_learn_cannot_fit(make_task: Any) -> None:
    fit = look_at_usage(make_task(factory=lambda: Deaf(3, 4)), TODAY, 0)["batch_fit"]
    assert fit["last"] > FITTED * fit["constant"]
    assert len(fit["tried"]) == 5


def test_a_single_sample_is_no_batch_to_fit(make_task: Any) -> None:
    fit = look_at_usage(make_task(factory=wide), Params(lr=0.05, batch_size=1), 0)["batch_fit"]
    assert fit["constant"] > 0.1


def test_losses_that_are_not_finite_are_left_out(make_task: Any) -> None:
    task = make_task(losses={"a": lambda output, target: F.cross_entropy(output, target) / 0})
    facts = look_at_usage(task, TODAY, 0)
    assert facts["inputs_used"]["real"] is None
    assert facts["batch_fit"]["last"] is None


def test_nothing_of_the_users_changes(make_task: Any) -> None:
    task = make_task(factory=lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5)))
    rows = task.data.train.tensors["input"].clone()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    first = look_at_usage(task, TODAY, 3)["inputs_used"]
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    assert torch.equal(task.data.train.tensors["input"], rows)
    assert look_at_usage(task, TODAY, 3)["inputs_used"]["real"] == first["real"]


def test_a_head_that_does_not_use_its_input_is_told_from_the_others(make_task: Any) -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, values: Tensor) -> dict[str, Tensor]:
            return {"a": self.a(values), "b": self.b(torch.ones_like(values))}

    losses = {name: {"function": F.cross_entropy, "output": name} for name in ("a", "b")}
    found = look_at_usage(make_task(factory=Heads, losses=losses), TODAY, 0)["inputs_used"]
    assert found["losses"]["b"] == 0.0 < found["losses"]["a"]
    assert look_at_usage(make_task(factory=wide), TODAY, 0)["inputs_used"]["losses"] == {}
