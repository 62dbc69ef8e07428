"""Samples that cannot be read, and samples that are kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from preflight.core.errors import TaskError
from preflight.tasks import kept as module
from preflight.tasks.data import Collated, Roles, take_samples, uncached
from preflight.tasks.given import read_data
from preflight.tasks.kept import Kept, Room
from preflight.tasks.reader import Reader
from preflight.tasks.seeding import RandomState
from preflight.tasks.unreadable import FLOOR, SHARE

CPU = torch.device("cpu")
SIZE = 100


class Files(Dataset[Any]):
    """Samples that tell their number; some cannot be read. ``extra`` is what a sample holds besides."""

    def __init__(
        self,
        broken: Collection[int] = (),
        extra: Callable[[int], Any] = lambda _: 0.0,
        size: int = SIZE,
        error: type[BaseException] = OSError,
    ) -> None:
        self.broken, self.extra, self.size, self.error = set(broken), extra, size, error
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: int) -> tuple[Tensor, Any]:
        self.asked.append(number)
        extra = self.extra(number)
        if number in self.broken:
            raise self.error(f"image {number} is truncated\nat byte 12")
        return torch.tensor([number, 2 * number]), extra


@pytest.fixture(autouse=True)
def costly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching costs enough for samples to be kept."""
    monkeypatch.setattr(module, "COST_S", 0.0)


def keeping(files: Files, room: int = 2**20) -> Reader:
    return Reader(files, kept=Kept(Room(room), len(files)))


def numbers(samples: list[Any]) -> list[int]:
    return [int(sample[0][0]) for sample in samples]


def test_the_next_sample_that_is_not_in_the_batch_takes_the_place_of_one_that_cannot_be_read() -> None:
    reader = Reader(Files(broken={3, 5, 99}))
    assert numbers(reader.fetch([3, 4, 99])) == [6, 4, 0]
    assert reader.unreadable.errors == dict.fromkeys([3, 5, 99], "") | {
        number: f"OSError: image {number} is truncated" for number in (3, 5, 99)
    }


def test_it_is_asked_once() -> None:
    files = Files(broken={3})
    reader = Reader(files)
    for _ in range(4):
        reader.fetch([3, 3, 8])
    assert files.asked.count(3) == 1
    assert reader.unreadable.asked == {3, 4, 5, 8}


def test_of_a_batch_of_all_samples_one_comes_twice() -> None:
    assert numbers(Reader(Files(broken={1}, size=3)).fetch([0, 1, 2])) == [0, 2, 2]


@given(
    broken=st.sets(st.integers(0, SIZE - 1), max_size=FLOOR),
    before=st.lists(st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=9), max_size=5),
    batch=st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=20),
    drawing=st.booleans(),
)
def test_a_batch_does_not_depend_on_what_was_asked_before(
    broken: set[int], before: list[list[int]], batch: list[int], drawing: bool
) -> None:
    def drawn(_: int) -> float:
        return random.random() + float(np.random.rand()) + float(torch.rand(())) if drawing else 0.0

    def fetched(batches: list[list[int]]) -> tuple[list[Any], float]:
        reader = keeping(Files(broken, drawn))
        for item in batches:
            reader.fetch(item)
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        found = reader.fetch(batch)
        return [(item[0].tolist(), item[1]) for item in found], drawn(0)

    state = RandomState.now()
    assert fetched(before) == fetched([])
    state.put_back()


@pytest.mark.parametrize("size", [2, 12, 4000])
def test_a_data_set_whose_first_samples_all_fail_is_broken(size: int) -> None:
    reader = Reader(Files(broken=range(size), size=size))
    with pytest.raises(TaskError, match="train data cannot be read: OSError: image 0 is truncated; it is sample 0, "):
        reader.fetch([0])
    assert len(reader.unreadable.errors) <= FLOOR + 1


def test_too_many_are_so_by_their_share() -> None:
    size = 1000
    Reader(Files(broken=range(0, size, 25), size=size)).fetch(range(size))
    reader = Reader(Files(broken=range(0, size, 12), size=size))
    with pytest.raises(TaskError, match=r"of the \d+ samples asked fail"):
        reader.fetch(range(size))
    assert len(reader.unreadable.errors) == int(FLOOR + SHARE * len(reader.unreadable.asked)) + 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, torch.OutOfMemoryError])
def test_what_is_not_the_samples_fault_is_passed_on(error: type[BaseException]) -> None:
    reader = Reader(Files(broken={3}, error=error))
    with pytest.raises(error):
        reader.fetch([3])
    assert not reader.unreadable.errors


def test_samples_that_are_looked_at_go_by_their_own_numbers() -> None:
    data = read_data((Files(broken={0, 7}, extra=float), Files()), Roles((), ()), CPU)
    found, batch = take_samples(data.train)
    assert found.tolist() == [number for number in range(SIZE) if number not in (0, 7)]
    assert batch["input"][:, 0].tolist() == found.tolist()
    assert data.reading()["training"]["unreadable"] == [
        {"sample": 0, "error": "OSError: image 0 is truncated"},
        {"sample": 7, "error": "OSError: image 7 is truncated"},
    ]
    assert (data.reading()["training"]["fetched"], data.reading()["training"]["count"]) == (SIZE, 2)
    assert data.reading()["validation"]["count"] == 0


# --- samples that are kept


def trusted(files: Files, room: int = 2**20) -> Reader:
    reader = keeping(files, room)
    for _ in range(2):
        reader.fetch(range(len(files)))
    return reader


def test_samples_that_come_out_the_same_are_fetched_no_more() -> None:
    files = Files(extra=float)
    reader = trusted(files)
    asked = len(files.asked)
    assert reader.kept is not None and reader.kept.is_trusted
    assert numbers(reader.fetch([5, 3])) == [5, 3]
    assert len(files.asked) == asked
    assert reader.kept.spared_s > 0


def test_none_is_given_from_memory_before_many_came_out_the_same() -> None:
    files = Files()
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
def test_nothing_is_kept_of_samples_that_are_random_or_not_plain(make: Callable[[], Any]) -> None:
    files, room = Files(extra=make()), Room(2**20)
    reader = Reader(files, kept=Kept(room, SIZE))
    for _ in range(6):
        reader.fetch(range(SIZE))
    assert len(files.asked) == 6 * SIZE
    assert reader.kept is not None and not reader.kept.is_open
    assert room.left_bytes == 2**20


def test_random_numbers_are_drawn_as_if_nothing_were_kept() -> None:
    def drawn(reader: Reader) -> list[Any]:
        torch.manual_seed(0)
        found = [float(item[1]) for _ in range(4) for item in reader.fetch([1, 2, 3])]
        return [*found, float(torch.rand(()))]

    state = torch.get_rng_state()
    assert drawn(keeping(Files(extra=lambda _: torch.rand(())))) == drawn(Reader(Files(extra=lambda _: torch.rand(()))))
    torch.set_rng_state(state)


def test_a_data_set_that_gives_the_same_buffer_every_time_is_left_as_it_is() -> None:
    buffer = torch.zeros(1)

    def filled(number: int) -> Tensor:
        return buffer.fill_(number)

    reader = trusted(Files(extra=filled))
    assert [float(item[1]) for item in reader.fetch([1, 2, 3])] == [3.0, 3.0, 3.0]


def test_samples_beyond_the_room_are_fetched_every_time() -> None:
    files = Files()
    reader = trusted(files, room=module.PROOFS * 250)
    asked = len(files.asked)
    reader.fetch(range(SIZE))
    assert 0 < len(files.asked) - asked < SIZE
    assert len(set(files.asked[asked:])) == len(files.asked[asked:])


@pytest.mark.parametrize("broken", [(), (1, 4)])
def test_of_few_samples_all_that_can_be_kept_must_come_out_the_same(broken: tuple[int, ...]) -> None:
    files = Files(broken, size=module.PROOFS // 2)
    data = read_data((files, Files()), Roles((), ()), CPU)
    assert isinstance(data.train, Collated)
    reader = data.train.reader
    for _ in range(3):
        assert reader.kept is not None and not reader.kept.is_trusted
        reader.fetch(range(20))
    for _ in range(2):
        reader.fetch(range(len(files)))
    assert reader.kept.is_trusted
    large = keeping(Files(extra=lambda _: torch.zeros(1000)), room=30000)
    large.fetch(range(SIZE))
    large.fetch(range(SIZE))
    assert large.kept is not None and large.kept.is_trusted
    asked = len(large.samples.asked)  # type: ignore[attr-defined]
    large.fetch(range(SIZE))
    assert 0 < len(large.samples.asked) - asked < SIZE  # type: ignore[attr-defined]


def test_samples_that_cost_nothing_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COST_S", 10.0)
    files, room = Files(), Room(2**20)
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
    batches: list[list[int]], broken: set[int], collate: Any, room: int
) -> None:
    def extra(number: int) -> dict[str, Any]:
        return {"x": np.full(2, number / 7), "name": [number, torch.tensor(float("nan"))]}

    reader = trusted(Files(broken, extra), room)
    source = Collated(reader, lambda items: collate([(x, y["x"]) for x, y in items]), ("a", "b"), CPU)
    for batch in batches:
        indices = torch.tensor(batch)
        one, other = source.batch(indices), uncached(source).batch(indices)
        assert all(torch.equal(one[name], other[name]) for name in ("a", "b"))


def test_what_is_uncached_is_fetched_and_still_known_to_be_unreadable() -> None:
    files = Files(broken={3})
    reader = trusted(files)
    source = Collated(reader, default_collate, ("a", "b"), CPU)
    asked = len(files.asked)
    uncached(source).batch(torch.tensor([1, 2, 3]))
    assert files.asked[asked:] == [1, 2, 4]
