from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from preflight.core.params import Params
from preflight.probes.distributions import look_at_fields
from preflight.tasks.pytorch import PyTorchTask

MakeTask = Callable[..., PyTorchTask]
Split = dict[str, Tensor]
PARAMS = Params(lr=0.1, batch_size=16, normalization={"x": "none"})


def split(size: int, seed: int = 0) -> Split:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 3, generator=g) * torch.tensor([1.0, 10.0, 0.0]) + torch.tensor([0.0, 50.0, 7.0])
    return {"x": x, "target": torch.randint(0, 4, (size,), generator=g)}


def look(make_task: MakeTask, train: Any, validation: Any, params: Params = PARAMS, **changes: Any) -> dict[str, Any]:
    return look_at_fields(make_task(data=(train, validation), **changes), params, 0)


def test_every_field_is_described_in_its_own_units(make_task: MakeTask) -> None:
    train = split(1000)
    facts = look(make_task, train, split(200, 1))["fields"]
    assert (facts["x"]["role"], facts["target"]["role"]) == ("input", "target")
    assert (facts["x"]["shape"], facts["x"]["dtype"], facts["x"]["samples"]) == ([3], "float32", 1000)
    assert (facts["x"]["width"], facts["x"]["constants"], facts["x"]["option"]) == (3, 1, "none")
    _, second, third = facts["x"]["features"]
    values = train["x"][:, 1].double().numpy()
    assert second["mean"] == pytest.approx(values.mean())
    assert second["std"] == pytest.approx(values.std())
    assert second["quantiles"]["0.95"] == pytest.approx(np.quantile(values, 0.95))
    assert second["deviation"] == pytest.approx(np.abs(values - np.median(values)).mean())
    assert (second["kind"], second["normalized"], second["distinct"], second["zeros"]) == (
        "continuous",
        False,
        1000,
        0.0,
    )
    assert abs(second["skew"]) < 0.3
    assert second["shift"] < second["shift_noise"]
    assert (third["kind"], third["minimum"], third["maximum"], third["std"]) == ("constant", 7.0, 7.0, 0.0)
    assert (facts["target"]["classes"], facts["target"]["unseen"]) == (4, 0.0)


def test_a_field_that_is_input_and_target_is_seen_as_both(make_task: MakeTask) -> None:
    train, validation = {"x": 1000 * split(300)["x"]}, {"x": 1000 * split(100, 1)["x"]}
    train["x"][5, 0] = float("inf")
    changes = {"inputs": ["x"], "targets": ["x"], "losses": {"mse": F.l1_loss}, "factory": lambda: nn.Linear(3, 3)}
    facts = look(make_task, train, validation, **changes)["fields"]
    assert {key: (item["name"], item["role"]) for key, item in facts.items()} == {
        "x": ("x", "input"),
        "target x": ("x", "target"),
    }
    assert [len(item["flaws"]) for item in facts.values()] == [1, 0]  # one flaw is told once


def test_facts_are_plain_and_the_same_every_time(make_task: MakeTask) -> None:
    found = look(make_task, split(300), split(100, 1))
    assert json.loads(json.dumps(found)) == found
    assert look(make_task, split(300), split(100, 1)) == found


def test_what_is_fed_is_what_the_normalizer_makes_of_it(make_task: MakeTask) -> None:
    task = make_task(data=(split(1000), split(100, 1)))
    task.normalizers[("normalization.x", "standardize")] = {
        "kind": "standardize",
        "center": [0, 50, 7],
        "scale": [1, 10, 1],
    }
    facts = look_at_fields(task, Params(lr=0.1, batch_size=16, normalization={"x": "standardize"}), 0)["fields"]["x"]
    feature = facts["features"][1]
    assert feature["std"] == pytest.approx(10, rel=0.1)
    assert feature["fed"]["std"] == pytest.approx(1, rel=0.1)
    assert feature["fed"]["rms"] == pytest.approx(1, rel=0.1)
    assert facts["length"] == pytest.approx(math.sqrt(2), rel=0.1)


def test_padding_counts_nowhere(make_task: MakeTask) -> None:
    def padded(seed: int) -> Split:
        part = split(200, seed)
        valid = torch.arange(6) < torch.randint(2, 6, (200, 1), generator=torch.Generator().manual_seed(seed))
        return {
            "x": torch.where(valid.unsqueeze(2), 5.0 + part["x"][:, None, :1], 1e9),
            "valid": valid,
            "target": part["target"],
        }

    facts = look(make_task, padded(0), padded(1), fields={"x": {"mask": "valid"}}, inputs=["x", "valid"])["fields"]
    feature = facts["x"]["features"][0]
    assert feature["maximum"] < 20
    assert feature["fed"]["rms"] < 20
    assert feature["validation"]["mean"] == pytest.approx(5, abs=0.5)


def test_values_that_are_not_finite_are_found_in_all_of_the_data(make_task: MakeTask) -> None:
    train, validation = split(9000), split(100, 1)
    train["x"][[4321, 8999], 0] = torch.nan
    validation["x"][5, 1] = torch.inf
    facts = look(make_task, train, validation)["fields"]["x"]
    assert facts["features"][0]["nonfinite"] == 2
    assert facts["features"][0]["nonfinite_samples"] == [4321, 8999]
    assert [(flaw["split"], flaw["samples"]) for flaw in facts["flaws"]] == [
        ("training", [4321, 8999]),
        ("validation", [5]),
    ]
    assert all(flaw["harm"] for flaw in facts["flaws"])
    assert math.isfinite(facts["features"][0]["mean"])


def test_very_many_features_are_reported_as_one(make_task: MakeTask) -> None:
    g = torch.Generator().manual_seed(0)
    train = {"x": 3 * torch.randn(400, 5000, generator=g), "target": torch.randint(0, 4, (400,), generator=g)}
    train["x"][:, :7] = 0.0
    facts = look(make_task, train, train, factory=lambda: nn.Linear(5000, 4))["fields"]["x"]
    assert (facts["width"], facts["pooled"], len(facts["features"]), facts["constants"]) == (5000, True, 1, 7)
    assert facts["features"][0]["std"] == pytest.approx(3, rel=0.01)
    assert facts["length"] == pytest.approx(3 * math.sqrt(5000), rel=0.01)


def test_an_outlier_moves_no_mean(make_task: MakeTask) -> None:
    train = split(1000)
    train["x"][10, 0] = 1e12
    feature = look(make_task, train, split(100, 1))["fields"]["x"]["features"][0]
    assert feature["maximum"] == pytest.approx(1e12)
    assert feature["std"] == pytest.approx(1, rel=0.1)
    assert feature["fed"]["rms"] == pytest.approx(1, rel=0.1)


class Fetched(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, part: Split) -> None:
        self.part, self.asked = part, 0

    def __len__(self) -> int:
        return len(self.part["x"])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.asked += 1
        return self.part["x"][index], self.part["target"][index]


def test_of_data_that_must_be_fetched_some_is_looked_at(make_task: MakeTask) -> None:
    train = Fetched(split(20_000))
    found = look(
        make_task, train, Fetched(split(50, 1)), Params(lr=0.1, batch_size=16, normalization={"input": "none"})
    )
    assert train.asked < 5000
    assert found["fields"]["input"]["samples"] == 4096
    assert "unseen" not in found["fields"]["target"]
    assert found["overlap"] == {}


def test_nothing_of_the_user_is_touched(make_task: MakeTask) -> None:
    train = split(300)
    train["x"][3] = torch.nan
    before = {name: item.clone() for name, item in train.items()}
    states = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    look(make_task, train, split(100, 1))
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]
    assert all(torch.equal(train[name].nan_to_num(), before[name].nan_to_num()) for name in train)


def test_targets_of_any_shape_are_described(make_task: MakeTask) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(100, 3, generator=g)
    for target in (x.sum(1), x, torch.rand(100, 2, 8, 8, generator=g), torch.randint(0, 5, (100, 7), generator=g)):
        part = {"x": x, "target": target}
        facts = look(make_task, part, part, losses={"mse": F.mse_loss})["fields"]["target"]
        assert facts["role"] == "target"
        assert facts["shape"] == list(target.shape[1:])
