from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preflight.core.params import Params
from preflight.tasks.batches import endless_batches
from preflight.tasks.data import Collated, Data, InMemory, Roles
from preflight.tasks.reader import Reader
from preflight.trials.batch_order import nonfinite_samples, samples_of_step, steps_per_epoch

CPU = torch.device("cpu")


def data_of(size: int, drop_last: bool = False) -> Data:
    source = InMemory({"input": torch.arange(size), "target": torch.zeros(size)})
    return Data(source, source, Roles(("input",), ("target",)), drop_last=drop_last)


@given(
    size=st.integers(1, 40),
    batch_size=st.integers(1, 40),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    seed=st.integers(0, 2**32),
    step=st.integers(0, 60),
)
def test_the_samples_of_a_step_are_those_of_its_batch(
    size: int, batch_size: int, shuffle: bool, drop_last: bool, seed: int, step: int
) -> None:
    batch_size = min(batch_size, size)
    data, params = data_of(size, drop_last), Params(lr=0.1, batch_size=batch_size, shuffle=shuffle)
    batches = endless_batches(data.train, batch_size, shuffle=shuffle, seed=seed, device=CPU, drop_last=drop_last)
    for _ in range(step):
        next(batches)
    assert torch.equal(samples_of_step(data, params, seed, step), next(batches)["input"])


@pytest.mark.parametrize(("drop_last", "steps"), [(False, 6), (True, 5)])
def test_an_epoch_has_its_last_short_batch_or_not(drop_last: bool, steps: int) -> None:
    assert steps_per_epoch(data_of(41, drop_last), 8) == steps


def test_samples_are_bad_by_any_of_their_fields() -> None:
    fields = {
        "image": torch.zeros(6, 2, 3),
        "count": torch.arange(6),
        "half": torch.zeros(6, dtype=torch.float16),
        "target": torch.zeros(6),
    }
    fields["image"][1, 1, 2], fields["half"][3], fields["target"][4] = math.nan, math.inf, -math.inf
    numbers = torch.tensor([5, 4, 1, 0, 3])
    assert nonfinite_samples(InMemory(fields), numbers) == [4, 1, 3]
    assert nonfinite_samples(InMemory(fields), torch.tensor([5, 0])) == []


def test_fields_that_are_packed_say_nothing_of_a_single_sample() -> None:
    def packed(items: list[Any]) -> dict[str, torch.Tensor]:
        return {"pulses": torch.cat(items), "target": torch.zeros(len(items))}

    samples: Any = [torch.full((size,), math.nan) for size in (2, 3)]
    assert nonfinite_samples(Collated(Reader(samples), packed, (), CPU), torch.tensor([0, 1])) == []
