from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.params import Params
from preflight.probes.losses import look_at_losses

TODAY = Params(lr=0.01, batch_size=8)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(3, 8)
        self.heads = nn.ModuleDict({name: nn.Linear(8, 4) for name in "ab"})

    def forward(self, values: Tensor) -> dict[str, Tensor]:
        inner = self.trunk(values).tanh()
        return {name: head(inner) for name, head in self.heads.items()}


def pair(scale: float = 1.0, sign: float = 1.0) -> dict[str, Any]:
    return {
        "a": {"function": F.cross_entropy, "output": "a"},
        "b": {"function": lambda output, target: scale * F.cross_entropy(sign * output, target), "output": "b"},
    }


def test_a_classification_loss_is_described(make_task: Any) -> None:
    facts = look_at_losses(make_task(), TODAY, 0, {"cross_entropy": 1.3})
    found = facts["losses"]["cross_entropy"]
    assert (found["kind"], found["classes"], found["constant"]) == ("cross_entropy", 4, 1.3)
    assert found["chance"] == pytest.approx(math.log(4))
    assert found["initial"] == pytest.approx(math.log(4), rel=0.5)
    assert (found["share"], found["fresh"], found["data_free"]) == (1.0, 1.0, 0.0)
    assert found["batch_scaling"] == {"2": pytest.approx(1.0), "4": pytest.approx(1.0)}
    assert 0.2 < found["target_rank"] < 0.8
    assert (facts["cosines"], "activation" in found) == ({}, False)
    json.dumps(facts)


def test_shares_are_of_the_weighted_gradient_on_what_is_shared(make_task: Any) -> None:
    task = make_task(factory=Two, losses=pair(scale=100.0))
    constants = {"a": 1.4, "b": 140.0}
    raw = look_at_losses(task, TODAY, 0, constants)["losses"]
    assert 0.9 < raw["b"]["share"] < 1.0
    assert raw["a"]["share"] + raw["b"]["share"] == pytest.approx(1.0)
    weighted = Params(lr=0.01, batch_size=8, loss_weights={"a": 1.0, "b": 0.01})
    even = look_at_losses(task, weighted, 0, constants)["losses"]
    assert even["b"]["gradient_norm"] == pytest.approx(raw["b"]["gradient_norm"], rel=1e-4)
    assert even["b"]["weighted_gradient_norm"] == pytest.approx(0.01 * even["b"]["gradient_norm"])
    assert 0.2 < even["b"]["share"] < 0.8
    assert even["b"]["share_later"] is not None


def test_the_cosine_of_two_losses(make_task: Any) -> None:
    def losses(sign: float) -> dict[str, Any]:
        return {"a": F.cross_entropy, "b": lambda output, target: sign * F.cross_entropy(output, target)}

    for sign in (1.0, -1.0):
        facts = look_at_losses(make_task(losses=losses(sign)), TODAY, 0, {"a": 1.4, "b": sign * 1.4})
        assert facts["cosines"] == {"a|b": pytest.approx(sign)}
        assert facts["cosine_spread"]["a|b"]["highest"] == pytest.approx(sign)
        assert facts["cosine_spread"]["a|b"]["batches"] >= 2
        assert facts["cosine_spread"]["a|b"]["later"] == pytest.approx(sign)


@pytest.mark.parametrize(
    ("function", "is_of_pairs"),
    [
        (lambda output, target: (output - target).square().mean(), True),
        (lambda output, target: 100 * output.mean(), False),  # a penalty: it compares nothing with the targets
    ],
)
def test_only_what_the_targets_enter_compares_all_pairs(function: Any, is_of_pairs: bool, make_task: Any) -> None:
    task = make_task(factory=lambda: nn.Linear(3, 1), losses={"a": function})
    assert look_at_losses(task, TODAY, 0, {"a": 1.0})["losses"]["a"]["all_pairs"] is is_of_pairs


def test_heads_that_share_nothing_have_no_cosine(make_task: Any) -> None:
    class Apart(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, values: Tensor) -> dict[str, Tensor]:
            return {"a": self.a(values), "b": self.b(values)}

    facts = look_at_losses(make_task(factory=Apart, losses=pair()), TODAY, 0, {"a": 1.4, "b": 1.4})
    assert facts["cosines"] == {}
    assert all(facts["losses"][name]["gradient_norm"] > 0 for name in "ab")
    # None takes a part of the other's gradient, however large it is.
    assert all(facts["losses"][name]["share"] is None for name in "ab")


def test_a_constant_of_a_summed_loss_is_that_of_a_batch(make_task: Any) -> None:
    def summed(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target, reduction="sum")

    facts = look_at_losses(make_task(losses={"ce": summed}), TODAY, 0, {"ce": 1000.0})
    assert facts["losses"]["ce"]["batch_scaling"] == {"2": pytest.approx(2.0), "4": pytest.approx(4.0)}
    assert facts["losses"]["ce"]["constant"] == pytest.approx(8 * 1.3, rel=0.4)


def test_trained_weights_are_not_fresh(make_task: Any) -> None:
    state = nn.Linear(3, 4).state_dict()

    def loaded() -> nn.Module:
        layer = nn.Linear(3, 4)
        layer.load_state_dict(state)
        return layer

    assert look_at_losses(make_task(factory=loaded), TODAY, 0, {})["losses"]["cross_entropy"]["fresh"] == 0.0


@pytest.mark.parametrize(("factor", "dominates"), [(1e-4, False), (10.0, True)])
def test_a_penalty_is_told_from_the_data(factor: float, dominates: bool, make_task: Any) -> None:
    class Penalized(nn.Linear):
        def forward(self, values: Tensor) -> dict[str, Tensor]:
            return {"logits": super().forward(values), "penalty": factor * self.weight.square().sum()}

    def loss(output: dict[str, Tensor], target: Tensor) -> Tensor:
        return F.cross_entropy(output["logits"], target) + output["penalty"]

    facts = look_at_losses(make_task(factory=lambda: Penalized(3, 4), losses={"ce": loss}), TODAY, 0, {"ce": None})
    assert (facts["regularization"]["penalty_ratio"] > 1) == dominates
    assert (facts["losses"]["ce"]["data_free"] > 0.5) == dominates


class Parts(NamedTuple):
    logits: Tensor
    penalty: Tensor


@dataclass
class Record:
    logits: Tensor
    penalty: Tensor


class Hidden:
    __slots__ = ("both",)

    def __init__(self, *both: Tensor) -> None:
        self.both = both

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.both)


def regularized(make_task: Any, structure: Callable[..., Any], factor: float) -> dict[str, Any]:
    class Penalized(nn.Linear):
        def forward(self, values: Tensor) -> Any:
            return structure(super().forward(values), factor * self.weight.square().sum())

    def loss(output: Any, target: Tensor) -> Tensor:
        logits, penalty = (output.logits, output.penalty) if isinstance(output, Record) else output
        return F.cross_entropy(logits, target) + penalty

    return look_at_losses(make_task(factory=lambda: Penalized(3, 4), losses={"ce": loss}), TODAY, 0, {"ce": None})


@pytest.mark.parametrize("structure", [lambda *both: both, lambda *both: list(both), Parts, Record])
@pytest.mark.parametrize(("factor", "dominates"), [(0.0, False), (1e-4, False), (10.0, True)])
def test_penalties_are_told_in_every_structure(
    factor: float, dominates: bool, structure: Callable[..., Any], make_task: Any
) -> None:
    facts = regularized(make_task, structure, factor)
    assert (facts["regularization"]["penalty_ratio"] > 1) == dominates
    assert (facts["losses"]["ce"]["data_free"] > 0.5) == dominates


def test_of_an_output_that_cannot_be_looked_into_nothing_is_said(make_task: Any) -> None:
    facts = regularized(make_task, Hidden, 0.0)
    assert "penalty_ratio" not in facts["regularization"]
    assert "data_free" not in facts["losses"]["ce"]


def test_a_contrast_of_several_embeddings_is_no_penalty(make_task: Any) -> None:
    class Three(nn.Linear):
        def forward(self, values: Tensor) -> tuple[Tensor, ...]:
            return tuple(super(Three, self).forward(item) for item in (values, 2 * values, -values))

    def triplet(output: tuple[Tensor, ...], target: Tensor) -> Tensor:
        return F.triplet_margin_loss(*output)

    task = make_task(factory=lambda: Three(3, 4), losses={"triplet": triplet})
    assert look_at_losses(task, TODAY, 0, {"triplet": 1.0})["regularization"]["penalty_ratio"] == 0.0


@pytest.mark.parametrize("target", [None, "y"])
def test_a_dead_head_that_says_one_number_is_no_penalty(target: str | None, make_task: Any) -> None:
    class Dead(nn.Linear):
        def forward(self, values: Tensor) -> dict[str, Tensor]:
            return {"a": super().forward(values), "b": self.bias[:1].expand(len(values), 1)}

    data = tuple({"x": torch.randn(40, 3), "y": torch.randn(40, 1)} for _ in range(2))
    losses = {"b": {"function": lambda output, y: (output - y).square().mean(), "output": "b", "target": target}}
    losses["a"] = {**losses["b"], "output": "a"}
    task = make_task(factory=lambda: Dead(3, 1), data=data, losses=losses, targets=["y"])
    facts = look_at_losses(task, TODAY, 0, {"a": 1.0, "b": 1.0})["regularization"]
    assert facts["penalty_ratio"] == 0.0


def test_decay_is_measured_against_the_gradient(make_task: Any) -> None:
    task = make_task(optimizer=torch.optim.SGD)
    small, large = (
        look_at_losses(task, Params(lr=0.1, batch_size=8, weight_decay=decay), 0, {})["regularization"]
        for decay in (1e-3, 1.0)
    )
    assert large["decay_ratio"] == pytest.approx(1000 * small["decay_ratio"], rel=1e-3)
    assert (large["weight_decay"], large["decoupled"]) == (1.0, False)
    assert look_at_losses(task, TODAY, 0, {})["regularization"]["decay_ratio"] == 0.0
    adamw = make_task(optimizer=torch.optim.AdamW)
    assert look_at_losses(adamw, TODAY, 0, {})["regularization"]["decoupled"]


def test_nothing_of_the_users_changes(make_task: Any) -> None:
    task = make_task(factory=lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5)))
    rows = task.data.train.tensors["input"].clone()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    first = look_at_losses(task, TODAY, 3, {"cross_entropy": 1.3})
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    assert torch.equal(task.data.train.tensors["input"], rows)
    assert look_at_losses(task, TODAY, 3, {"cross_entropy": 1.3}) == first


def test_the_constant_of_the_training_split_is_its_own(make_task: Any) -> None:
    """The frequencies of the training classes give it: their entropy."""
    task = make_task()
    (target,) = task.data.roles.targets
    labels = task.data.train.batch(torch.arange(len(task.data.train)))[target]
    shares = torch.bincount(labels).double() / len(labels)
    facts = look_at_losses(task, TODAY, 0, {"cross_entropy": 1.3})
    entropy = float(-(shares * shares.clamp(min=1e-12).log()).sum())
    assert facts["losses"]["cross_entropy"]["constant_training"] == pytest.approx(entropy, abs=0.01)
