from __future__ import annotations

from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preflight.core.errors import TaskError
from preflight.tasks.batches import endless_batches
from preflight.tasks.data import Collated, InMemory, Source
from preflight.tasks.reader import Reader

CPU = torch.device("cpu")


def rows(size: int) -> InMemory:
    return InMemory({"row": torch.arange(size)})


def epochs(
    source: Source, batch_size: int, count: int, *, shuffle: bool = True, seed: int = 0
) -> list[list[list[int]]]:
    per_epoch = -(-len(source) // batch_size)
    batches = endless_batches(source, batch_size, shuffle=shuffle, seed=seed, device=CPU)
    return [[batch["row"].tolist() for batch in islice(batches, per_epoch)] for _ in range(count)]


@given(size=st.integers(1, 30), share=st.floats(0.0, 1.0), seed=st.integers(0, 2**63))
def test_every_epoch_has_every_sample_once_and_only_its_last_batch_is_short(size: int, share: float, seed: int) -> None:
    batch_size = max(1, round(share * size))
    for epoch in epochs(rows(size), batch_size, 3, seed=seed):
        assert sorted(row for batch in epoch for row in batch) == list(range(size))
        assert {len(batch) for batch in epoch[:-1]} <= {batch_size}
        assert len(epoch[-1]) == (size % batch_size or batch_size)


def test_the_last_batch_is_the_remainder() -> None:
    (epoch,) = epochs(rows(10), 4, 1)
    assert [len(batch) for batch in epoch] == [4, 4, 2]


def test_the_order_follows_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = epochs(rows(20), 6, 2, seed=3)
    torch.manual_seed(2)
    assert epochs(rows(20), 6, 2, seed=3) == first
    assert epochs(rows(20), 6, 2, seed=4) != first


def test_every_epoch_has_an_order_of_its_own() -> None:
    first, second = epochs(rows(20), 20, 2)
    assert first != second


def test_without_shuffling_samples_come_as_they_lie() -> None:
    assert epochs(rows(5), 2, 2, shuffle=False) == [[[0, 1], [2, 3], [4]]] * 2


def test_the_random_state_of_the_caller_is_not_used() -> None:
    state = torch.get_rng_state()
    epochs(rows(20), 6, 2)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_data_set_comes_in_the_same_order_as_tensors() -> None:
    samples = Collated(Reader([{"row": index} for index in range(7)]), torch.utils.data.default_collate, (), CPU)  # type: ignore[arg-type]
    assert epochs(samples, 3, 2) == epochs(rows(7), 3, 2)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(TaskError, match="batch_size=8 is larger than the 7 training samples"):
        next(endless_batches(rows(7), 8, shuffle=True, seed=0, device=CPU))
    assert epochs(rows(7), 7, 1, shuffle=False) == [[list(range(7))]]


def test_a_short_last_batch_is_dropped_where_the_loader_drops_it() -> None:
    batches = endless_batches(rows(7), 3, shuffle=False, seed=0, device=CPU, drop_last=True)
    assert [len(next(iter(next(batches).values()))) for _ in range(4)] == [3, 3, 3, 3]
