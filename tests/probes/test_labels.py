from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from preflight.core.params import Params
from preflight.probes.labels import look_at_labels
from preflight.tasks.pytorch import PyTorchTask

MakeTask = Callable[..., PyTorchTask]
PARAMS = Params(lr=0.1, batch_size=32)


def seen(make_task: MakeTask, part: dict[str, Tensor], **changes: Any) -> dict[str, Any]:
    return look_at_labels(make_task(data=(part, part), **changes), PARAMS, 0)["labels"]


def inputs(seed: int = 0, size: int = 400) -> Tensor:
    return torch.randn(size, 3, generator=torch.Generator().manual_seed(seed))


def test_a_relation_is_found_and_a_mixed_up_one_is_not(make_task: MakeTask) -> None:
    x = inputs()
    for target in ((x[:, 0] > 0).long(), (x**2).sum(1).long(), x.sum(1, keepdim=True).exp()):
        related = seen(make_task, {"x": x, "target": target}, losses={"mse": F.mse_loss})["target"]
        assert related["z"] > 10
        assert related["validation_z"] > 10
        order = torch.randperm(400, generator=torch.Generator().manual_seed(1))
        assert seen(make_task, {"x": x, "target": target[order]}, losses={"mse": F.mse_loss})["target"]["z"] < 4


def test_chance_is_rarely_taken_for_a_relation(make_task: MakeTask) -> None:
    zs = []
    for seed in range(20):
        target = torch.randint(0, 4, (400,), generator=torch.Generator().manual_seed(1000 + seed))
        zs.append(seen(make_task, {"x": inputs(seed), "target": target})["target"]["z"])
    assert sum(z > 2.5 for z in zs) <= 2
    assert max(zs) < 5


@pytest.mark.parametrize("offset", [-1, 2, 5, -16])
def test_rows_that_are_off_are_found(offset: int, make_task: MakeTask) -> None:
    x = inputs()
    target = (x[:, 0] > 0).long().roll(offset)
    facts = seen(make_task, {"x": x, "target": target})["target"]
    assert facts["offset"] == offset
    assert facts["offset_z"] > 10 > 4 > facts["z"]


def test_tokens_images_and_several_targets_are_looked_at(make_task: MakeTask) -> None:
    g = torch.Generator().manual_seed(0)
    classes = torch.randint(0, 2, (400,), generator=g)
    tokens = torch.randint(0, 100, (400, 12), generator=g)
    tokens[classes == 1, 3] = 7
    pixels = torch.rand(400, 1, 20, 20, generator=g) + 0.2 * classes.view(-1, 1, 1, 1)
    for x in (tokens, pixels, pixels.squeeze(1)):
        facts = seen(make_task, {"x": x, "a": classes, "b": 1.0 - classes.float()}, targets=["a", "b"])
        assert set(facts) == {"a", "b"}
        assert min(item["z"] for item in facts.values()) > 6


def test_few_samples_say_nothing(make_task: MakeTask) -> None:
    x = inputs(size=25)
    assert seen(make_task, {"x": x, "target": (x[:, 0] > 0).long()}) == {}


def test_a_constant_target_or_input_says_nothing_false(make_task: MakeTask) -> None:
    ones = torch.ones(400, dtype=torch.long)
    assert seen(make_task, {"x": inputs(), "target": ones}) == {"target": {"constant": True}}
    assert seen(make_task, {"x": torch.ones(400, 3), "target": ones}) == {}


def test_inputs_are_held_against_the_first_one(make_task: MakeTask) -> None:
    x = inputs()
    apart = torch.randperm(400, generator=torch.Generator().manual_seed(1))
    part = {"x": x, "near": x + 0.3 * inputs(1), "apart": x[apart], "same": x.clone(), "target": x.sum(1)}
    train = make_task(data=(part, part), losses={"mse": F.mse_loss}, inputs=["x", "near", "apart", "same"])
    found = look_at_labels(train, PARAMS, 0)["pairs"]
    assert {name: item["copy_of"] for name, item in found.items()} == {"near": None, "apart": None, "same": "x"}
    assert min(found[name][z] for name in ("near", "same") for z in ("z", "validation_z")) > 10
    assert found["apart"]["z"] < 4
    assert "pairs" in look_at_labels(make_task(data=({"x": x, "target": x},) * 2), PARAMS, 0)
