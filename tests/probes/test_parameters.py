from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.params import Params
from preflight.probes.parameters import look_at_parameters

MakeTask = Callable[..., Any]
PARAMS = Params(lr=0.1, batch_size=8)


def look(make_task: MakeTask, factory: Callable[[], nn.Module], **changes: Any) -> dict[str, dict[str, Any]]:
    found = look_at_parameters(make_task(factory=factory, **changes), PARAMS, 0)["parameters"]
    return {item["name"]: item for item in found}


def mlp(initialize: Callable[[Tensor], object] | None = None, depth: int = 2) -> Callable[[], nn.Module]:
    def factory() -> nn.Module:
        hidden = [layer for _ in range(depth) for layer in (nn.Linear(8, 8), nn.Tanh())]
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), *hidden, nn.Linear(8, 4))
        for item in model.parameters():
            if initialize is not None:
                initialize(item)
        return model

    return factory


def test_a_parameter_of_a_healthy_model_is_trained(make_task: MakeTask) -> None:
    task = make_task(factory=mlp())
    found = look_at_parameters(task, PARAMS, 0)["parameters"]
    torch.manual_seed(0)
    job = task.job(PARAMS)
    batch = next(task.batches(PARAMS, 0))
    F.cross_entropy(job.network.model(batch["input"]), batch["target"]).backward()
    assert [item["name"] for item in found] == [name for name, _ in job.parameters]
    for item, (_, parameter) in zip(found, job.parameters, strict=True):
        assert item["trained"] and item["in_optimizer"] and item["registered"] and item["has_gradient"]
        assert (item["shape"], item["values"]) == (list(parameter.shape), parameter.numel())
        assert item["weight_norm"] == pytest.approx(float(parameter.detach().norm()), rel=1e-5)
        assert item["gradient_norm"] == pytest.approx(float(parameter.grad.norm()), rel=1e-5)
        assert item["symmetric_units"] == (0 if parameter.ndim > 1 else None)
        assert item["component"] == item["name"].split(".")[0]


@pytest.mark.parametrize("value", [0.01, 0.1, 0.5])
def test_units_that_start_equal_and_stay_so_are_counted(value: float, make_task: MakeTask) -> None:
    found = look(make_task, mlp(lambda item: nn.init.constant_(item, value)))
    assert max(found[f"{index}.weight"]["symmetric_units"] for index in (0, 2, 4)) == 8
    assert found["6.weight"]["symmetric_units"] < 4  # classes differ by their targets


def test_equal_units_that_the_next_layer_tells_apart_are_no_copies(make_task: MakeTask) -> None:
    def factory() -> nn.Module:
        model = mlp()()
        nn.init.constant_(model[0].weight, 0.1)
        nn.init.zeros_(model[4].weight)
        return model

    found = look(make_task, factory)
    assert found["4.weight"]["symmetric_units"] == found["0.weight"]["symmetric_units"] == 0


def test_layers_of_zeros_below_a_head_of_zeros_wait_and_are_no_copies(make_task: MakeTask) -> None:
    def factory() -> nn.Module:
        model = mlp()()
        nn.init.zeros_(model[4].weight)
        nn.init.zeros_(model[6].weight)
        return model

    found = look(make_task, factory)
    assert found["4.weight"]["gradient_norm"] == found["4.weight"]["symmetric_units"] == 0


def test_a_head_of_zeros_has_a_gradient_and_different_units(make_task: MakeTask) -> None:
    def factory() -> nn.Module:
        model = mlp()()
        nn.init.zeros_(model[6].weight)
        return model

    found = look(make_task, factory)["6.weight"]
    assert found["weight_norm"] == 0
    assert found["gradient_norm"] > 0
    assert found["symmetric_units"] == 0


class Partly(nn.Module):
    """A list of layers that the model does not know of, one that is detached, one that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.detached, self.unused, self.head = nn.Linear(3, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.layers = [nn.Linear(8, 8)]

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.layers[0](self.detached(values).detach()))


def test_what_is_not_trained_is_seen_with_its_reason(make_task: MakeTask) -> None:
    found = look(make_task, Partly)
    without = [name for name, item in found.items() if not item["has_gradient"]]
    assert without == ["detached.weight", "detached.bias", "unused.weight", "unused.bias"]
    strays = [item for item in found.values() if not item["registered"]]
    assert sorted(item["shape"] for item in strays) == [[8], [8, 8]]
    assert all(item["has_gradient"] and not item["in_optimizer"] and item["of_loss"] is False for item in strays)


def test_a_network_that_a_loss_holds_belongs_to_the_loss(make_task: MakeTask) -> None:
    judge = nn.Linear(4, 4)
    judge.weight.grad = torch.ones(4, 4)
    task = make_task(factory=mlp(), losses={"ce": lambda output, target: F.cross_entropy(judge(output), target)})
    found = look_at_parameters(task, PARAMS, 0)["parameters"]
    strays = [item for item in found if not item["registered"]]
    assert [item["of_loss"] for item in strays] == [True, True]
    assert torch.equal(judge.weight.grad, torch.ones(4, 4))
    assert judge.bias.grad is None


LOADED = torch.randn(8, 3, generator=torch.Generator().manual_seed(5))


def frozen(load: bool, copy: bool = False) -> Callable[[], nn.Module]:
    def factory() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 4))
        model[0].requires_grad_(False)
        if load:
            with torch.no_grad():
                model[0].weight.copy_(LOADED)
                model[0].bias.zero_()
        if copy:
            model.student = nn.Linear(3, 8)
            model.student.load_state_dict(model[0].state_dict())
            del model.student
            model.add_module("student", nn.Linear(3, 8))
            model.student.load_state_dict(model[0].state_dict())
            model.forward = lambda values: model[1](model[0](values) + model.student(values))
        return model

    return factory


@pytest.mark.parametrize(("load", "copy", "random"), [(False, False, True), (True, False, False), (False, True, False)])
def test_frozen_weights_are_random_unless_loaded_or_copied(
    load: bool, copy: bool, random: bool, make_task: MakeTask
) -> None:
    found = look(make_task, frozen(load, copy))["0.weight"]
    assert (found["trained"], found["in_optimizer"], found["has_gradient"]) == (False, False, False)
    assert found["random"] is random


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(1000, 8, sparse=True)
        self.head = nn.Linear(8, 4)

    def forward(self, values: Tensor) -> Tensor:
        return self.head(self.table(values.abs().mul(100).long().clamp(max=999)))


def test_a_table_with_sparse_gradients_is_as_any_other(make_task: MakeTask) -> None:
    found = look(make_task, Table, optimizer=torch.optim.SGD)["table.weight"]
    assert found["has_gradient"]
    assert found["gradient_norm"] > 0
    assert found["symmetric_units"] == 0


def test_tied_weights_are_listed_once(make_task: MakeTask) -> None:
    def factory() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 4))
        model[1].weight = model[0].weight
        return model

    assert list(look(make_task, factory)) == ["0.weight", "0.bias", "1.bias", "2.weight", "2.bias"]


def test_batch_norm_and_the_random_state_are_untouched(make_task: MakeTask) -> None:
    shared = nn.BatchNorm1d(3).requires_grad_(False)
    before = {name: item.clone() for name, item in shared.state_dict().items()}
    state = torch.get_rng_state()
    look(make_task, lambda: nn.Sequential(shared, nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(item, before[name]) for name, item in shared.state_dict().items())
