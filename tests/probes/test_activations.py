"""Signals of models of every kind, and that looking at them changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.params import Params
from preflight.probes.activations import SAMPLES, look_at_activations

MakeTask = Callable[..., Any]
PARAMS = Params(lr=0.1, batch_size=8)


def look(make_task: MakeTask, factory: Callable[[], nn.Module], **changes: Any) -> list[dict[str, Any]]:
    return look_at_activations(make_task(factory=factory, **changes), PARAMS, 0)["activations"]


class Functional(nn.Module):
    """One layer is used twice, activations are functions, the output of the first part is a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared, self.head = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.act = nn.ReLU(inplace=True)
        self.rnn = nn.GRU(8, 8, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        values = F.relu(self.first(values))
        values = self.act(self.shared(values))
        values = self.act(self.shared(values))
        values, _ = self.rnn(values[:, None])
        return self.head(torch.tanh(values[:, 0]))


def test_modules_and_functions_come_in_forward_order(make_task: MakeTask) -> None:
    found = look(make_task, Functional)
    assert [(item["module"], item["type"]) for item in found] == [
        ("first", "Linear"),
        ("relu()", "ReLU"),
        ("shared", "Linear"),
        ("act", "ReLU"),
        ("shared (call 2)", "Linear"),
        ("act (call 2)", "ReLU"),
        ("rnn", "GRU"),
        ("tanh()", "Tanh"),
        ("head", "Linear"),
    ]
    assert [item["depth"] for item in found] == list(range(9))
    assert [item["weighted"] for item in found] == [item["type"] in ("Linear", "GRU") for item in found]


def test_statistics_are_those_of_the_output(make_task: MakeTask) -> None:
    task = make_task(factory=lambda: nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4)))
    found = look_at_activations(task, PARAMS, 3)["activations"][1]
    torch.manual_seed(3)
    layer = task.job(PARAMS).network.model[0]
    inputs = task.data.train.tensors["input"]
    batches = -(-SAMPLES // 40)  # every epoch has all 40 samples
    output = F.relu(layer(inputs)).detach().double()
    assert found["samples"] >= SAMPLES > (batches - 1) * 40
    assert found["units"] == 6
    assert found["dead_units"] == int((output == 0).all(dim=0).sum())
    # Whole epochs and part of one: close to the figures of one epoch.
    assert found["mean"] == pytest.approx(float(output.mean()), rel=0.2)
    assert found["sample_std"] == pytest.approx(float(output.var(dim=0, correction=0).mean().sqrt()), rel=0.2)
    assert found["zeros"] == pytest.approx(float((output == 0).double().mean()), abs=0.1)


def test_over_several_batches_statistics_are_as_of_one(make_task: MakeTask) -> None:
    task = make_task(factory=lambda: nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 4)))
    small, large = (
        look_at_activations(task, Params(lr=0.1, batch_size=size, shuffle=False), 0)["activations"][1]
        for size in (8, 40)
    )
    assert small["samples"] == 256
    assert large["samples"] == 280
    assert small["std"] == pytest.approx(large["std"], rel=0.05)


def test_gradients_are_those_of_the_first_batch(make_task: MakeTask) -> None:
    task = make_task(factory=lambda: nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 4)))
    found = look_at_activations(task, PARAMS, 0)["activations"]
    torch.manual_seed(0)
    model = task.job(PARAMS).network.model
    batch = next(task.batches(PARAMS, 0))
    hidden = model[0](batch["input"])
    loss = F.cross_entropy(model[2](torch.tanh(hidden)), batch["target"])
    (gradient,) = torch.autograd.grad(loss, hidden)
    assert found[0]["gradient_std"] == pytest.approx(float(gradient.square().mean().sqrt()), rel=1e-5)


@pytest.mark.parametrize(
    ("activation", "share"), [(nn.Tanh(), 1.0), (nn.Sigmoid(), 1.0), (nn.Hardtanh(), 1.0), (nn.GELU(), None)]
)
def test_saturated_are_values_where_the_function_is_flat(
    activation: nn.Module, share: float | None, make_task: MakeTask
) -> None:
    def factory() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 6), activation, nn.Linear(6, 4))
        nn.init.constant_(model[0].bias, 100.0)
        return model

    assert look(make_task, factory)[1].get("saturated") == share


def test_units_that_are_zero_for_every_sample_are_counted(make_task: MakeTask) -> None:
    def factory() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4))
        with torch.no_grad():
            model[0].bias[:2] = -100.0
        return model

    assert look(make_task, factory)[1]["dead_units"] == 2


def test_the_units_of_a_convolution_are_its_channels(make_task: MakeTask) -> None:
    def factory() -> nn.Module:
        layers = (nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 5, 2), nn.BatchNorm1d(5), nn.ReLU(), nn.Flatten())
        return nn.Sequential(*layers, nn.Linear(10, 4))

    found = {item["type"]: item["units"] for item in look(make_task, factory)}
    assert (found["Conv1d"], found["ReLU"], found["Flatten"]) == (5, 5, 10)


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"a": nn.ModuleList([nn.Linear(3, 4)]), "b": nn.Sequential(nn.Linear(4, 4))})
        self.unused = nn.Linear(4, 4)

    def forward(self, values: Tensor) -> Tensor:
        with torch.no_grad():
            values = self.parts["a"][0](values)
        return self.parts["b"](values)


def attention() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    return nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (1, 4)), layer, nn.Flatten())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "factory",
    [
        Nested,
        attention,
        lambda: nn.Linear(3, 4),
        lambda: torch.compile(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4))),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
        lambda: nn.Sequential(nn.Linear(3, 4).half().float(), nn.Identity()),
    ],
)
def test_models_of_every_kind_can_be_looked_at(factory: Callable[[], nn.Module], make_task: MakeTask) -> None:
    found = look(make_task, factory)
    assert any(item["weighted"] for item in found)
    assert all(item["samples"] >= SAMPLES for item in found)


def test_of_a_module_that_is_called_often_the_first_calls_are_kept(make_task: MakeTask) -> None:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.Linear(3, 3), nn.Linear(3, 4)

        def forward(self, values: Tensor) -> Tensor:
            for _ in range(50):
                values = self.cell(values)
            return self.head(values)

    names = [item["module"] for item in look(make_task, Cell)]
    assert names == ["cell", *(f"cell (call {number})" for number in range(2, 9)), "head"]


def test_looking_changes_neither_the_random_state_nor_what_models_share(make_task: MakeTask) -> None:
    shared = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout()).requires_grad_(False)
    shared[0].eval()
    before = {name: item.clone() for name, item in shared.state_dict().items()}
    task = make_task(factory=lambda: nn.Sequential(shared, nn.Linear(3, 4)))
    state = torch.get_rng_state()
    look_at_activations(task, PARAMS, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(item, before[name]) for name, item in shared.state_dict().items())
    assert [module.training for module in shared.modules()] == [True, False, True]
    assert not shared[0]._forward_hooks


def test_the_same_seed_gives_the_same_facts(make_task: MakeTask) -> None:
    task = make_task(factory=lambda: nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 4)))
    one, same, other = (look_at_activations(task, PARAMS, seed) for seed in (0, 0, 1))
    assert one == same != other
