"""Samples that are looked at before training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from preflight.core.errors import TaskError
from preflight.tasks.data import MAX_SAMPLES, InMemory, Roles, take_samples
from preflight.tasks.given import read_data


class Endless:
    """More samples than float32 can count, and an error for one that is not there."""

    def __len__(self) -> int:
        return 2**24 + 4

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        assert int(indices.max()) < len(self), f"there is no sample {int(indices.max())}"
        assert int(indices.min()) >= 0
        return {"x": indices.double().unsqueeze(1)}


def test_no_sample_is_taken_that_is_not_there() -> None:
    numbers, batch = take_samples(Endless())
    assert (numbers[0], numbers[-1], len(numbers)) == (0, 2**24 + 3, MAX_SAMPLES)
    assert torch.equal(batch["x"].flatten().long(), numbers)


def test_a_small_split_is_taken_whole() -> None:
    numbers, batch = take_samples(InMemory({"x": torch.arange(777.0)}))
    assert numbers.tolist() == batch["x"].tolist() == list(range(777))


def test_of_large_samples_fewer_are_taken() -> None:
    large = InMemory({"x": torch.zeros(1, 2**14).expand(5000, -1)})
    assert len(take_samples(large)[0]) == 2**24 // 2**14


def test_samples_that_cannot_be_collated_are_named_with_their_split() -> None:
    ragged = [(torch.zeros(1 + index % 2), 0) for index in range(4)]
    data = read_data(([(torch.zeros(3), 0)] * 4, ragged), Roles((), ()), torch.device("cpu"))
    with pytest.raises(TaskError, match="samples of the validation data cannot be read as one batch: RuntimeError: "):
        take_samples(data.validation, "validation")
