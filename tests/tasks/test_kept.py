"""Samples that are kept."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import default_collate

from preflight.tasks import kept as module
from preflight.tasks.data import Collated, Roles, uncached
from preflight.tasks.given import read_data
from preflight.tasks.kept import Kept, Room
from preflight.tasks.reader import Reader
from preflight.tasks.unreadable import FLOOR

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


def trusted(files: Any, room: int = 2**20) -> Reader:
    reader = keeping(files, room)
    for _ in range(2):
        reader.fetch(range(len(files)))
    return reader


def test_samples_that_come_out_the_same_are_fetched_no_more(files_of: Any) -> None:
    files = files_of(extra=float)
    reader = trusted(files)
    asked = len(files.asked)
    assert reader.kept is not None and reader.kept.is_trusted
    assert numbers(reader.fetch([5, 3])) == [5, 3]
    assert len(files.asked) == asked
    assert reader.kept.spared_s > 0


def test_none_is_given_from_memory_before_many_came_out_the_same(files_of: Any) -> None:
    files = files_of()
    reader = keeping(files)
    for _ in range(3):
        reader.fetch(range(module.PROOFS - 1))
    assert len(files.asked) == 3 * (module.PROOFS - 1)
    reader.fetch([SIZE - 1] * 2)
    reader.fetch(range(SIZE - 1))
    assert files.asked.count(0) == 3


class Own:
    """A random generator of the data set's own, as libraries of augmentations have it."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __call__(self, _: int) -> float:
        return float(self.generator.random() < 0.1)


class Counting:
    """Another sample every time, by design."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _: int) -> int:
        self.count += 1
        return self.count


DRAWS: list[Callable[[], Callable[[int], Any]]] = [
    lambda: lambda _: random.random(),
    lambda: lambda _: float(np.random.rand()),
    lambda: lambda _: torch.rand(()),
    lambda: lambda number: torch.rand(()) < 0.1 if number == 7 else False,
    lambda: lambda _: 0 * torch.rand(()),  # what follows it must see the generator as it is
    Own,
    Counting,
    lambda: lambda _: {1, 2},
]


@pytest.mark.parametrize("make", DRAWS)
def test_nothing_is_kept_of_samples_that_are_random_or_not_plain(files_of: Any, make: Callable[[], Any]) -> None:
    files, room = files_of(extra=make()), Room(2**20)
    reader = Reader(files, kept=Kept(room, SIZE))
    for _ in range(6):
        reader.fetch(range(SIZE))
    assert len(files.asked) == 6 * SIZE
    assert reader.kept is not None and not reader.kept.is_open
    assert room.left_bytes == 2**20


def test_random_numbers_are_drawn_as_if_nothing_were_kept(files_of: Any) -> None:
    def drawn(reader: Reader) -> list[Any]:
        torch.manual_seed(0)
        found = [float(item[1]) for _ in range(4) for item in reader.fetch([1, 2, 3])]
        return [*found, float(torch.rand(()))]

    state = torch.get_rng_state()
    assert drawn(keeping(files_of(extra=lambda _: torch.rand(())))) == drawn(
        Reader(files_of(extra=lambda _: torch.rand(())))
    )
    torch.set_rng_state(state)


def test_a_data_set_that_gives_the_same_buffer_every_time_is_left_as_it_is(files_of: Any) -> None:
    buffer = torch.zeros(1)

    def filled(number: int) -> Tensor:
        return buffer.fill_(number)

    reader = trusted(files_of(extra=filled))
    assert [float(item[1]) for item in reader.fetch([1, 2, 3])] == [3.0, 3.0, 3.0]


def test_samples_beyond_the_room_are_fetched_every_time(files_of: Any) -> None:
    files = files_of()
    reader = trusted(files, room=module.PROOFS * 250)
    asked = len(files.asked)
    reader.fetch(range(SIZE))
    assert 0 < len(files.asked) - asked < SIZE
    assert len(set(files.asked[asked:])) == len(files.asked[asked:])


@pytest.mark.parametrize("broken", [(), (1, 4)])
def test_of_few_samples_all_that_can_be_kept_must_come_out_the_same(files_of: Any, broken: tuple[int, ...]) -> None:
    files = files_of(broken, size=module.PROOFS // 2)
    data = read_data((files, files_of()), Roles((), ()), CPU)
    assert isinstance(data.train, Collated)
    reader = data.train.reader
    for _ in range(3):
        assert reader.kept is not None and not reader.kept.is_trusted
        reader.fetch(range(20))
    for _ in range(2):
        reader.fetch(range(len(files)))
    assert reader.kept.is_trusted
    large = keeping(files_of(extra=lambda _: torch.zeros(1000)), room=30000)
    large.fetch(range(SIZE))
    large.fetch(range(SIZE))
    assert large.kept is not None and large.kept.is_trusted
    asked = len(large.samples.asked)  # type: ignore[attr-defined]
    large.fetch(range(SIZE))
    assert 0 < len(large.samples.asked) - asked < SIZE  # type: ignore[attr-defined]


def test_samples_that_cost_nothing_are_not_kept(files_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COST_S", 10.0)
    files, room = files_of(), Room(2**20)
    reader = Reader(files, kept=Kept(room, SIZE))
    reader.fetch(range(SIZE))
    assert reader.kept is not None and not reader.kept.is_open
    assert room.left_bytes == 2**20


def spoiling(samples: list[Any]) -> Any:
    batch = default_collate(samples)
    for numbers_, _ in samples:
        numbers_.zero_()
    return batch


@given(
    batches=st.lists(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=20), min_size=1, max_size=20),
    broken=st.sets(st.integers(0, SIZE - 1), max_size=FLOOR),
    collate=st.sampled_from([default_collate, spoiling]),
    room=st.sampled_from([2**20, 5000]),
)
def test_batches_are_those_of_samples_that_are_not_kept(
    files_of: Any, batches: list[list[int]], broken: set[int], collate: Any, room: int
) -> None:
    def extra(number: int) -> dict[str, Any]:
        return {"x": np.full(2, number / 7), "name": [number, torch.tensor(float("nan"))]}

    reader = trusted(files_of(broken, extra), room)
    source = Collated(reader, lambda items: collate([(x, y["x"]) for x, y in items]), ("a", "b"), CPU)
    for batch in batches:
        indices = torch.tensor(batch)
        one, other = source.batch(indices), uncached(source).batch(indices)
        assert all(torch.equal(one[name], other[name]) for name in ("a", "b"))


def test_what_is_uncached_is_fetched_and_still_known_to_be_unreadable(files_of: Any) -> None:
    files = files_of(broken={3})
    reader = trusted(files)
    source = Collated(reader, default_collate, ("a", "b"), CPU)
    asked = len(files.asked)
    uncached(source).batch(torch.tensor([1, 2, 3]))
    assert files.asked[asked:] == [1, 2, 4]
