"""The same seed is the same trial, and nobody else's random numbers are touched."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def test_the_same_specification_gives_the_same_files_to_the_byte(
    make_lab: Any, make_spec: Any, run: Any, folder_of: Any
) -> None:
    spec = make_spec(seed=5, dropout=0.5)
    contents = []
    for disturbance in (1, 2):
        random.seed(disturbance)
        np.random.seed(disturbance)
        torch.manual_seed(disturbance)
        lab = make_lab()
        run(lab, make_spec(seed=disturbance))  # what else was trained must not matter
        run(lab, spec)
        contents.append({path.name: path.read_bytes() for path in folder_of(lab, spec).glob("*.csv")})
    assert contents[0] == contents[1] and len(contents[0]) == 5


def test_another_seed_gives_another_trial(make_lab: Any, make_spec: Any, run: Any) -> None:
    lab = make_lab()
    for shuffle in (True, False):  # the order of the data is not all that a seed gives
        assert run(lab, make_spec(seed=1, shuffle=shuffle)).score != run(lab, make_spec(seed=2, shuffle=shuffle)).score


def test_the_random_state_of_the_caller_is_untouched(make_lab: Any, make_spec: Any, run: Any) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    run(make_lab(), make_spec(dropout=0.5))
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_equal_seeds_start_from_equal_weights_and_the_same_batches(
    make_lab: Any, make_spec: Any, network: type[nn.Module], run: Any
) -> None:
    built: list[nn.Module] = []
    targets: list[Tensor] = []

    def remembered(dropout: float = 0.0) -> nn.Module:
        model = network(dropout)
        built.append(copy.deepcopy(model))
        return model

    def loss(output: Tensor, target: Tensor) -> Tensor:
        if output.requires_grad:
            targets.append(target)
        return F.mse_loss(output, target)

    lab = make_lab(factory=remembered, losses={"mse": loss})
    lab.task.normalizers[("normalization.input", "standardize")] = {"center": [1.0] * 3, "scale": [3.0] * 3}
    lab.task.normalizers[("normalization.input", "batch_norm")] = {"kind": "batch_norm", "features": 3}
    for option in ("none", "standardize", "batch_norm"):
        run(lab, make_spec(dropout=0.5, **{"normalization.input": option}))
    first, *others = [model.state_dict() for model in built]
    assert all(torch.equal(other[name], first[name]) for other in others for name in first)
    orders = torch.stack(targets).view(3, 12, 8, 2)
    assert torch.equal(orders[1], orders[0]) and torch.equal(orders[2], orders[0])
