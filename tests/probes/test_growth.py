"""Models that keep what they should let go of, and models that only look so."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from preflight.core.finding import Answer, Clean, Finding
from preflight.core.params import Params
from preflight.probes.memory import look_at_memory
from preflight.rules.pf604_memory_growing import NUMBERS, RULE
from preflight.telemetry.recording import Recording

WIDE = 256


class Model(nn.Module):
    """Keeps nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, WIDE), nn.Linear(WIDE, 4)
        self.kept: list[Any] = []

    def forward(self, values: Tensor) -> Tensor:
        hidden = torch.relu(self.body(values))
        output: Tensor = self.head(hidden)
        self.keep(hidden, output)
        return output

    def keep(self, hidden: Tensor, output: Tensor) -> None:
        pass


class Hoarder(Model):
    """A graph that no backward pass goes through."""

    def keep(self, hidden: Tensor, output: Tensor) -> None:
        self.kept.append(output.exp().mean())


class Features(Model):
    """What the backward pass does go through, and which it frees but for what someone holds."""

    def keep(self, hidden: Tensor, output: Tensor) -> None:
        self.kept.append(hidden)


class Detached(Model):
    def keep(self, hidden: Tensor, output: Tensor) -> None:
        self.kept.append(hidden.detach())


class Mean(Model):
    """Four bytes a step, and the nodes of all that they were computed by."""

    def keep(self, hidden: Tensor, output: Tensor) -> None:
        self.kept.append(output.mean())


class Average(Model):
    """A running mean that has every step's graph."""

    def keep(self, hidden: Tensor, output: Tensor) -> None:
        self.kept = [(self.kept[0] if self.kept else 0.0) * 0.9 + output.mean()]


class Numbers(Model):
    def keep(self, hidden: Tensor, output: Tensor) -> None:
        self.kept += [output.mean().item(), output.detach().std()]


class Latest(Model):
    def keep(self, hidden: Tensor, output: Tensor) -> None:
        self.kept = [hidden, output.exp()]


class Circle(Model):
    """Garbage that only a collection finds."""

    def keep(self, hidden: Tensor, output: Tensor) -> None:
        around: list[Any] = [hidden]
        around.append(around)


class Stopped(Model):
    """A gate that no gradient passes: its sigmoid keeps its own result for a backward pass that never comes."""

    def forward(self, values: Tensor) -> Tensor:
        hidden = torch.relu(self.body(values))
        output: Tensor = self.head(hidden * torch.sigmoid(hidden.exp().tanh()).detach())
        return output


class Twins(Model):
    """Its features are a second output that no loss takes."""

    def forward(self, values: Tensor) -> Any:
        hidden = torch.relu(self.body(values))
        return {"output": self.head(hidden), "features": torch.tanh(hidden).detach()}


def look(task: Any) -> dict[str, Any]:
    return look_at_memory(task, Params(lr=0.1, batch_size=16), 0)["memory"]  # type: ignore[no-any-return]


def judge(facts: dict[str, Any]) -> Answer:
    return RULE.judge(Recording(Path("none"), {}, {"memory": facts}, {}))


@pytest.mark.parametrize("factory", [Model, Numbers, Latest, Circle, Stopped])
def test_what_is_let_go_of_is_clean(factory: type[Model], make_task: Any) -> None:
    assert judge(look(make_task(factory=factory))) == Clean()


def test_an_output_without_a_loss_is_clean(make_task: Any) -> None:
    losses = {"loss": {"function": nn.functional.cross_entropy, "output": "output"}}
    assert judge(look(make_task(factory=Twins, losses=losses))) == Clean()


@pytest.mark.parametrize("factory", [Hoarder, Features, Mean, Average])
def test_a_graph_that_is_kept_shows(factory: type[Model], make_task: Any) -> None:
    found = look(make_task(factory=factory))
    assert isinstance(judge(found), Finding)
    assert found["nodes_after_steps"][-1] > found["nodes_after_steps"][-2]


def test_activations_that_are_kept_are_counted_in_bytes(make_task: Any) -> None:
    found = look(make_task(factory=Detached))
    assert found["after_steps"][-1] - found["after_steps"][-2] == 4 * 16 * WIDE > NUMBERS.value
    answer = judge(found)
    assert isinstance(answer, Finding)
    assert "16 KiB more" in answer.message and "node" not in answer.message


@pytest.mark.parametrize("is_frozen", [False, True])
def test_the_garbage_collector_is_left_as_it_was(is_frozen: bool, make_task: Any) -> None:
    if is_frozen:
        gc.freeze()
    before = gc.get_freeze_count()
    try:
        assert judge(look(make_task(factory=Model))) == Clean()
        assert bool(gc.get_freeze_count()) == bool(before) == is_frozen
    finally:
        gc.unfreeze()
