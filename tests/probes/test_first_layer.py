from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from preflight.core.params import Params
from preflight.probes.first_layer import look_at_first_layers
from preflight.tasks.pytorch import PyTorchTask

MakeTask = Callable[..., PyTorchTask]
N = 64


class Net(nn.Module):
    """Two inputs, each with layers of its own; ``before`` and ``after`` surround the first layer of the first."""

    def __init__(self, before: Callable[[Tensor], Tensor] | None = None, after: nn.Module | None = None) -> None:
        super().__init__()
        self.before = before or nn.Identity()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(2, 4)
        self.after = after or nn.Identity()
        self.dropout, self.head = nn.Dropout(0.5), nn.Linear(8, 4)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        left = self.after(self.first(self.before(x)))
        return self.head(self.dropout(torch.relu(torch.cat([left, self.second(other)], 1))))


def part(scale: float = 100.0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(0)
    x, other = scale * torch.randn(N, 3, generator=g), torch.randn(N, 2, generator=g)
    return {"x": x, "other": other, "target": torch.arange(N) % 4}


def reach(make_task: MakeTask, factory: Callable[[], nn.Module], data: dict[str, Tensor], **changes: Any) -> Any:
    task = make_task(factory=factory, data=(data, data), **changes)
    params = Params(lr=0.1, batch_size=32, normalization=dict.fromkeys(task.data.numeric_inputs(), "none"))
    return look_at_first_layers(task, params, 0)["first_layers"]


def test_every_input_is_followed_to_its_first_layer(make_task: MakeTask) -> None:
    found = reach(make_task, Net, part())
    assert (found["x"]["module"], found["x"]["type"]) == ("first", "Linear")
    assert found["other"]["module"] == "second"
    assert found["x"]["largest"] == pytest.approx(100, rel=0.5)
    assert found["other"]["largest"] == pytest.approx(1, rel=0.5)
    assert not found["x"]["norm_after"]
    assert set(found["x"]["features"]) == {"x[0]", "x[1]", "x[2]"}


@pytest.mark.parametrize("before", [nn.BatchNorm1d(3), nn.LayerNorm(3), lambda x: x / 100, lambda x: x.sign()])
def test_what_a_model_does_before_it_is_seen(before: Any, make_task: MakeTask) -> None:
    found = reach(make_task, lambda: Net(before), part())
    assert found["x"]["largest"] < 2


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (lambda: nn.BatchNorm1d(4), True),
        (lambda: nn.Sequential(nn.ReLU(), nn.LayerNorm(4)), True),
        (lambda: nn.Sequential(nn.Tanh(), nn.LayerNorm(4)), False),
        (nn.ReLU, False),
    ],
)
def test_a_normalization_right_after_it_is_seen(after: Any, expected: bool, make_task: MakeTask) -> None:
    assert reach(make_task, lambda: Net(after=after()), part())["x"]["norm_after"] is expected


@pytest.mark.parametrize(("offset", "step"), [(0.0, 1.0), (1.7e9, 128.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_whole_numbers_of_any_size_are_numbers_to_a_layer(
    offset: float, step: float, dtype: torch.dtype, make_task: MakeTask
) -> None:
    x = (offset + step * torch.arange(3 * N).view(N, 3).double()).to(dtype)
    found = reach(make_task, lambda: Net(lambda x: x.float()), {**part(), "x": x})
    assert all(item["as_number"] for item in found["x"]["features"].values())


def test_columns_of_other_inputs_do_not_count(make_task: MakeTask) -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 4)

        def forward(self, x: Tensor, other: Tensor) -> Tensor:
            return self.layer(torch.cat([x, other], 1))

    found = reach(make_task, Joined, part())
    assert found["x"]["largest"] > 50
    assert found["other"]["largest"] < 2


def test_indices_are_told_from_numbers(make_task: MakeTask) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.layer = nn.Embedding(50, 2), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.cat([x[:, :2], self.table(x[:, 2].long())], 1))

    x = torch.cat([torch.randn(N, 2), torch.arange(N).view(-1, 1) % 50], 1)
    features = reach(make_task, Mixed, {"x": x, "target": torch.arange(N) % 4})["x"]["features"]
    assert [features[f"x[{index}]"]["as_number"] for index in range(3)] == [True, True, False]


def test_an_input_that_is_not_used_is_left_out(make_task: MakeTask) -> None:
    class Ignores(Net):
        def forward(self, x: Tensor, other: Tensor) -> Tensor:
            return super().forward(torch.zeros_like(x), other)

    assert set(reach(make_task, Ignores, part())) == {"other"}


@pytest.mark.parametrize("kind", ["recurrent", "attention", "convolution"])
def test_layers_of_any_type_are_seen(kind: str, make_task: MakeTask) -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = {
                "recurrent": nn.GRU(6, 4, batch_first=True),
                "attention": nn.TransformerEncoderLayer(6, 2, 8, batch_first=True),
                "convolution": nn.Conv1d(6, 4, 3),
            }[kind]

        def forward(self, x: Tensor) -> Tensor:
            output = self.layer(x.mT if kind == "convolution" else x)
            return (output[0] if kind == "recurrent" else output)[:, -1, :4].flatten(1)

    x = torch.tensor([1.0, 1, 1, 1, 1, 50]) * torch.randn(N, 10, 6, generator=torch.Generator().manual_seed(0))
    found = reach(make_task, Sequence, {"x": x, "target": torch.arange(N) % 4})["x"]
    assert found["largest"] == pytest.approx(50, rel=0.3)


def test_a_model_that_fails_gives_nothing(make_task: MakeTask) -> None:
    class Fails(Net):
        def forward(self, x: Tensor, other: Tensor) -> Tensor:
            raise RuntimeError("no")

    task = make_task(factory=Fails, data=(part(), part()))
    assert look_at_first_layers(task, Params(lr=0.1, batch_size=8), 0) == {}


def test_the_random_state_is_left_as_it_was(make_task: MakeTask) -> None:
    before = torch.random.get_rng_state()
    reach(make_task, Net, part())
    assert torch.equal(before, torch.random.get_rng_state())
