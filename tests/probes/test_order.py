from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.params import Params
from preflight.probes.order import look_at_order
from preflight.tasks.pytorch import PyTorchTask

MakeTask = Callable[..., PyTorchTask]
N = 640


def order(make_task: MakeTask, part: dict[str, Tensor], shuffle: bool = False, **changes: Any) -> dict[str, Any]:
    task = make_task(data=(part, part), **changes)
    return look_at_order(task, Params(lr=0.1, batch_size=32, shuffle=shuffle), 0)["order"]


def classes(seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {"x": torch.randn(N, 3, generator=g), "target": torch.randint(0, 4, (N,), generator=g)}


def test_sorted_samples_depend_on_their_place_and_shuffled_ones_do_not(make_task: MakeTask) -> None:
    part = classes()
    part["target"] = part["target"].sort().values
    found = order(make_task, part)
    assert found["trained"] == found["stored"]
    assert found["stored"]["target"]["dependence"] > 0.8
    assert abs(found["stored"]["x"]["dependence"]) < 0.1
    shuffled = order(make_task, part, shuffle=True)
    assert shuffled["stored"] == found["stored"]
    assert abs(shuffled["trained"]["target"]["dependence"]) < 0.1


def test_by_chance_nothing_depends_on_its_place(make_task: MakeTask) -> None:
    zs = [item["z"] for seed in range(30) for item in order(make_task, classes(seed))["stored"].values()]
    assert max(zs) < 6
    assert sum(zs) / len(zs) < 1.5  # of several inputs the largest


@pytest.mark.parametrize("power", [1, 5])
def test_amounts_count_by_their_ranks(power: int, make_task: MakeTask) -> None:
    g = torch.Generator().manual_seed(0)
    target = torch.randn(N, 1, generator=g).sort(dim=0).values
    part = {"x": target.flip(0) + torch.zeros(N, 3), "target": target**power}
    found = order(make_task, part, factory=lambda: nn.Linear(3, 1), losses={"mse": F.mse_loss})
    for item in found["stored"].values():
        assert item["dependence"] == pytest.approx(1, abs=0.05)
    assert (found["stored"]["x"]["role"], found["stored"]["target"]["role"]) == ("input", "target")


def test_a_slow_drift_is_weaker_than_a_sorted_order(make_task: MakeTask) -> None:
    part = classes()
    part["x"] = part["x"] + torch.linspace(0, 2, N).view(-1, 1)
    assert 0.1 < order(make_task, part)["stored"]["x"]["dependence"] < 0.5


def test_constants_and_short_data_say_nothing(make_task: MakeTask) -> None:
    part = classes() | {"target": torch.ones(N, dtype=torch.long)}
    assert "target" not in order(make_task, part)["stored"]
    few = {name: item[:20] for name, item in classes().items()}
    assert order(make_task, few) == {"shuffle": False}


def test_the_training_order_is_the_loaders_own(make_task: MakeTask) -> None:
    """Sorted by the order in which an epoch of this seed is drawn: shuffling puts it right in line."""
    part = classes()
    drawn = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    part["target"][drawn] = torch.arange(N) // 160
    found = order(make_task, part, shuffle=True)
    assert found["trained"]["target"]["dependence"] > 0.9
    assert found["stored"]["target"]["dependence"] < 0.1
