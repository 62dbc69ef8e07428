"""Samples that cannot be read."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preflight.core.errors import TaskError
from preflight.tasks import kept as module
from preflight.tasks.data import Roles, take_samples
from preflight.tasks.given import read_data
from preflight.tasks.kept import Kept, Room
from preflight.tasks.reader import Reader
from preflight.tasks.seeding import RandomState
from preflight.tasks.unreadable import FLOOR, SHARE

CPU = torch.device("cpu")
SIZE = 100


@pytest.fixture(autouse=True)
def costly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching costs enough for samples to be kept."""
    monkeypatch.setattr(module, "COST_S", 0.0)


def keeping(files: Any, room: int = 2**20) -> Reader:
    return Reader(files, kept=Kept(Room(room), len(files)))


def numbers(samples: list[Any]) -> list[int]:
    return [int(sample[0][0]) for sample in samples]


def test_the_next_sample_that_is_not_in_the_batch_takes_the_place_of_one_that_cannot_be_read(files_of: Any) -> None:
    reader = Reader(files_of(broken={3, 5, 99}))
    assert numbers(reader.fetch([3, 4, 99])) == [6, 4, 0]
    assert reader.unreadable.errors == dict.fromkeys([3, 5, 99], "") | {
        number: f"OSError: image {number} is truncated" for number in (3, 5, 99)
    }


def test_it_is_asked_once(files_of: Any) -> None:
    files = files_of(broken={3})
    reader = Reader(files)
    for _ in range(4):
        reader.fetch([3, 3, 8])
    assert files.asked.count(3) == 1
    assert reader.unreadable.asked == {3, 4, 5, 8}


def test_of_a_batch_of_all_samples_one_comes_twice(files_of: Any) -> None:
    assert numbers(Reader(files_of(broken={1}, size=3)).fetch([0, 1, 2])) == [0, 2, 2]


@given(
    broken=st.sets(st.integers(0, SIZE - 1), max_size=FLOOR),
    before=st.lists(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=9), max_size=5),
    batch=st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=20),
    drawing=st.booleans(),
)
def test_a_batch_does_not_depend_on_what_was_asked_before(
    files_of: Any, broken: set[int], before: list[list[int]], batch: list[int], drawing: bool
) -> None:
    def drawn(_: int) -> float:
        return random.random() + float(np.random.rand()) + float(torch.rand(())) if drawing else 0.0

    def fetched(batches: list[list[int]]) -> tuple[list[Any], float]:
        reader = keeping(files_of(broken, drawn))
        for item in batches:
            reader.fetch(item)
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        found = reader.fetch(batch)
        return [(item[0].tolist(), item[1]) for item in found], drawn(0)

    state = RandomState.now()
    assert fetched(before) == fetched([])
    state.put_back()


@pytest.mark.parametrize("size", [2, 12, 4000])
def test_a_data_set_whose_first_samples_all_fail_is_broken(files_of: Any, size: int) -> None:
    reader = Reader(files_of(broken=range(size), size=size))
    with pytest.raises(TaskError, match="train data cannot be read: OSError: image 0 is truncated; it is sample 0, "):
        reader.fetch([0])
    assert len(reader.unreadable.errors) <= FLOOR + 1


def test_too_many_are_so_by_their_share(files_of: Any) -> None:
    size = 1000
    Reader(files_of(broken=range(0, size, 25), size=size)).fetch(range(size))
    reader = Reader(files_of(broken=range(0, size, 12), size=size))
    with pytest.raises(TaskError, match=r"of the \d+ samples asked fail"):
        reader.fetch(range(size))
    assert len(reader.unreadable.errors) == int(FLOOR + SHARE * len(reader.unreadable.asked)) + 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, torch.OutOfMemoryError])
def test_what_is_not_the_samples_fault_is_passed_on(files_of: Any, error: type[BaseException]) -> None:
    reader = Reader(files_of(broken={3}, error=error))
    with pytest.raises(error):
        reader.fetch([3])
    assert not reader.unreadable.errors


def test_samples_that_are_looked_at_go_by_their_own_numbers(files_of: Any) -> None:
    data = read_data((files_of(broken={0, 7}, extra=float), files_of()), Roles((), ()), CPU)
    found, batch = take_samples(data.train)
    assert found.tolist() == [number for number in range(SIZE) if number not in (0, 7)]
    assert batch["input"][:, 0].tolist() == found.tolist()
    assert data.reading()["training"]["unreadable"] == [
        {"sample": 0, "error": "OSError: image 0 is truncated"},
        {"sample": 7, "error": "OSError: image 7 is truncated"},
    ]
    assert (data.reading()["training"]["fetched"], data.reading()["training"]["count"]) == (SIZE, 2)
    assert data.reading()["validation"]["count"] == 0
