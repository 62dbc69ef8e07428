from __future__ import annotations

import pytest
import torch
from torch import Tensor

from preflight.probes.overlap import look_at_overlap
from preflight.tasks.data import InMemory


def overlap(train: dict[str, Tensor], validation: dict[str, Tensor]) -> dict[str, float]:
    return look_at_overlap(InMemory(train), InMemory(validation), (train, validation), list(train))


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int64, torch.float64])
def test_samples_in_both_splits_are_counted(dtype: torch.dtype) -> None:
    g = torch.Generator().manual_seed(0)
    train = torch.randint(0, 250, (3000, 2, 5), generator=g).to(dtype)
    validation = torch.randint(0, 250, (100, 2, 5), generator=g).to(dtype)
    validation[:30] = train[500:530]
    found = overlap({"x": train}, {"x": validation})
    assert found == {"samples": 100, "shared": 0.3, "repeated": 0.0, "distinct": 3000}


def test_all_inputs_must_agree() -> None:
    first, second = torch.arange(100.0), torch.arange(100)
    train, validation = {"a": first, "b": second}, {"a": first, "b": second + 1}
    assert overlap(train, validation)["shared"] == 0.0
    assert overlap(train, train)["shared"] == 1.0


def test_repetitions_within_the_training_data_are_counted() -> None:
    x = torch.arange(10.0).repeat(10).view(-1, 1)
    assert overlap({"x": x}, {"x": x[:5]}) == {"samples": 5, "shared": 1.0, "repeated": 0.9, "distinct": 10}
