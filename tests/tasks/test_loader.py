from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler, SubsetRandomSampler

from preflight.core.errors import TaskError
from preflight.tasks.loader import Readable, fed_by
from preflight.tasks.reader import Reader


class Numbers(Dataset[int]):
    """Samples that are their numbers; the fourth cannot be read."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> int:
        if index == 3:
            raise OSError("truncated")
        return index


class AtOnce(Numbers):
    """Reads a batch with one request."""

    requests = 0

    def __getitems__(self, numbers: list[int]) -> list[int]:
        self.requests += 1
        return [self[number] for number in numbers]


def listed(batch: list[int]) -> list[int]:
    return sorted(batch)


def first(loader: DataLoader[Any], count: int, workers: int = 0, batch_size: int = 4) -> list[Any]:
    with fed_by(loader, workers=workers, batch_size=batch_size, seed=0, timeout_s=60.0) as batches:
        return list(islice(batches, count))


@pytest.mark.parametrize("workers", [0, 2])
def test_epoch_follows_epoch_in_whole_batches(workers: int) -> None:
    """An unreadable sample is replaced by the next, in workers too."""
    loader = DataLoader(Numbers(), batch_size=2, collate_fn=list)
    assert first(loader, 3, workers) == [[0, 1, 2, 4], [4, 5, 6, 7], [8, 9, 0, 1]]


def test_samples_come_in_the_kind_of_order_of_the_loader() -> None:
    shuffled = first(DataLoader(Numbers(), batch_size=5, shuffle=True, collate_fn=listed), 4, batch_size=5)
    assert all(len(set(one + other) - {3, 4}) == 8 for one, other in (shuffled[:2], shuffled[2:]))
    assert shuffled[:2] != shuffled[2:]
    subset = DataLoader(Numbers(), batch_size=2, sampler=SubsetRandomSampler([5, 7]), collate_fn=listed)
    assert first(subset, 2, batch_size=2) == [[5, 7], [5, 7]]


def test_the_loader_is_made_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def make(samples: Any, **options: Any) -> DataLoader[Any]:
        given.update(options)
        return DataLoader(samples, batch_size=1)

    def start(worker: int) -> None:
        pass

    loader = DataLoader(
        Numbers(),
        batch_size=2,
        num_workers=1,
        prefetch_factor=5,
        drop_last=True,
        collate_fn=listed,
        worker_init_fn=start,
        multiprocessing_context="spawn",
        timeout=3,
    )
    monkeypatch.setattr("preflight.tasks.loader.DataLoader", make)
    first(loader, 0, workers=2)
    kept = ("prefetch_factor", "drop_last", "collate_fn", "worker_init_fn", "multiprocessing_context")
    assert {name: given[name] for name in kept} == {name: getattr(loader, name) for name in kept}
    assert (given["num_workers"], given["batch_size"], given["timeout"]) == (2, 4, 60.0)
    given.clear()
    first(loader, 0, workers=0)  # what only workers take is left out
    assert not {"prefetch_factor", "multiprocessing_context", "timeout"} & given.keys()


def test_batches_of_a_sampler_of_their_own_cannot_be_made_again() -> None:
    loader = DataLoader(Numbers(), batch_sampler=BatchSampler(SequentialSampler(Numbers()), 2, drop_last=False))
    with pytest.raises(TaskError, match="batch_sampler of its own"):
        first(loader, 1)


def test_a_whole_batch_is_read_at_once_where_that_can_be() -> None:
    samples = AtOnce()
    readable = Readable(Reader(samples))
    assert readable.__getitems__([1, 2]) == [1, 2]
    assert samples.requests == 1
    assert readable.__getitems__([2, 3]) == [2, 4]
    assert (readable[3], len(readable)) == (4, 10)


def test_the_generator_of_the_user_is_left_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    first(DataLoader(Numbers(), batch_size=2, shuffle=True, generator=generator, collate_fn=list), 5)
    assert torch.equal(generator.get_state(), before)
