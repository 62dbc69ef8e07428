from __future__ import annotations

import json
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from preflight.core.params import Params
from preflight.probes import throughput
from preflight.probes.throughput import Variant, in_rounds, look_at_throughput, samples_per_s

# As preflight trains: threads that wait for each other take the cores from the workers.
pytestmark = pytest.mark.usefixtures("one_thread")

PARAMS = Params(lr=0.1, batch_size=8, num_workers=0)
LOADING = {"wait_s": 0.1, "compute_s": 0.001}


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(throughput, "time", found)
    return found


class Samples(Dataset[tuple[Tensor, int]]):
    """Samples that wait, as those of a remote storage do; one of them cannot be read."""

    def __init__(self, wait_s: float = 0.002) -> None:
        self.wait_s = wait_s

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 7:
            raise OSError("truncated")
        time.sleep(self.wait_s)
        return torch.ones(3), index % 4


class Dying(Samples):
    """A library that cannot be used after a fork."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if get_worker_info() is not None:
            os._exit(1)
        return super().__getitem__(index)


class Raising(Samples):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if get_worker_info() is not None:
            raise ValueError("a connection cannot be shared")
        return super().__getitem__(index)


class Hanging(Samples):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if get_worker_info() is not None:
            time.sleep(60)
        return super().__getitem__(index)


class Holding(Samples):
    """What it holds cannot be sent to another process."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = lambda value: value


def look(task: Any, workers: int, params: Params = PARAMS, **loading: float) -> dict[str, Any]:
    found = look_at_throughput(task, params, 0, {**LOADING, **loading}, workers)
    json.dumps(found)
    assert multiprocessing.active_children() == []
    return found["throughput"]  # type: ignore[no-any-return]


def task_of(make_task: Any, samples: Dataset[Any], **loader: Any) -> Any:
    return make_task(data=(DataLoader(samples, batch_size=8, shuffle=True, **loader), Samples()))


def rates(variants: list[dict[str, Any]], workers: int) -> list[float]:
    return next(item["samples_per_s"] for item in variants if item["workers"] == workers and item["batch_size"] == 8)


def test_workers_that_wait_side_by_side_are_as_many_times_faster(make_task: Any) -> None:
    """Four times; half of that is asked for, of a machine that has other things to do."""
    found = look(task_of(make_task, Samples(wait_s=0.01)), 4)
    assert found["failed"] == ""
    assert [(item["workers"], item["batch_size"]) for item in found["variants"]] == [(0, 8), (0, 16), (2, 8), (4, 8)]
    assert max(rates(found["variants"], 4)) > 1.5 * median(rates(found["variants"], 0))


def test_a_task_without_a_loader_has_nothing_to_make_again(make_task: Any) -> None:
    assert look_at_throughput(make_task(), PARAMS, 0, LOADING, 4) == {}
    assert look_at_throughput(make_task(data=(Samples(), Samples())), PARAMS, 0, LOADING, 4) == {}


@pytest.mark.parametrize(
    ("samples", "why"),
    [(Dying(), "exited unexpectedly"), (Raising(), "TaskError: .*ValueError: a connection cannot be shared")],
)
def test_workers_that_die_end_in_a_reason(samples: Dataset[Any], why: str, make_task: Any) -> None:
    today, doubled, *others = look(task_of(make_task, samples), 4)["variants"]
    assert today["samples_per_s"]
    assert doubled["samples_per_s"]
    for item in others:
        assert item["samples_per_s"] == []
        assert "\n" not in item["failed"]
        assert re.search(why, item["failed"])


def test_a_worker_that_hangs_is_given_up(make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "PATIENCE_S", 0.5)
    found = look(task_of(make_task, Hanging()), 1, wait_s=0.01)
    assert "timed out" in found["variants"][-1]["failed"]


def test_a_data_set_that_cannot_be_sent_ends_in_a_reason(make_task: Any) -> None:
    task = task_of(make_task, Holding(), num_workers=1, multiprocessing_context="spawn")
    found = look(task, 2, Params(lr=0.1, batch_size=8, num_workers=1))
    assert "pickle" in found["failed"]


def test_what_would_take_too_long_is_not_begun(make_task: Any) -> None:
    found = look(task_of(make_task, Samples()), 4, wait_s=60.0)
    assert found["variants"] == []
    assert found["failed"].startswith("it would take about ")
    assert found["failed"].endswith(" minutes")


def test_a_batch_beyond_the_samples_is_not_tried(make_task: Any) -> None:
    found = look(task_of(make_task, Samples()), 0, Params(lr=0.1, batch_size=30, num_workers=0))
    assert [(item["workers"], item["batch_size"]) for item in found["variants"]] == [(0, 30)]


def test_the_random_state_and_the_loader_are_left_alone(make_task: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    task, before, own = task_of(make_task, Samples(), generator=generator), torch.get_rng_state(), generator.get_state()
    look(task, 0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(generator.get_state(), own)


def test_only_the_steady_state_counts(clock: Clock) -> None:
    """Three workers start for 5 s, and then bring three batches together every second."""

    def batches() -> Iterator[int]:
        number = 0
        while True:
            clock.now += 5.0 if number == 0 else 1.0 if number % 3 == 0 else 0.0
            yield number
            number += 1

    trained: list[int] = []
    found = samples_per_s(batches(), trained.append, lambda: None, Variant(3, 8), 6)
    assert found == pytest.approx(3 * 8)
    assert len(trained) == 3 + 1 + 2 * 3


def test_what_lay_ready_after_a_slow_start_does_not_count(clock: Clock) -> None:
    """The first step takes as long as two workers need to fetch ahead; then they bring two batches every second."""
    trained: list[int] = []

    def batches() -> Iterator[int]:
        number = 0
        while True:
            clock.now += 1.0 if number > 4 and number % 2 else 0.0
            yield number
            number += 1

    def train(batch: int) -> None:
        clock.now += 10.0 if batch == 0 else 0.1
        trained.append(batch)

    found = samples_per_s(batches(), train, lambda: None, Variant(2, 8), 4)
    assert found == pytest.approx(2 * 8 / 1.2)
    assert trained[:6] == [0, 1, 2, 3, 4, 5]
    assert len(trained) == 6 + 2 * 2


def test_a_short_turn_is_repeated_until_a_pause_of_the_machine_is_small(clock: Clock) -> None:
    def batches() -> Iterator[int]:
        while True:
            clock.now += 0.001
            yield 0

    trained: list[int] = []
    assert samples_per_s(batches(), trained.append, lambda: None, Variant(0, 8), 0) == pytest.approx(8000.0)
    assert len(trained) >= 300


def tried(clock: Clock, fails: Callable[[Variant], bool] = lambda variant: False, cost_s: float = 0.1) -> Any:
    """Variants after their rounds, and the order in which they were measured."""
    variants, order = [Variant(1, 8), Variant(1, 16), Variant(2, 8), Variant(4, 8)], []

    def measure(variant: Variant) -> float:
        order.append((variant.workers, variant.batch_size))
        clock.now += cost_s
        if fails(variant):
            raise RuntimeError("no memory\nleft")
        return 1.0

    in_rounds(variants, measure)
    return variants, order


def test_all_variants_are_measured_in_every_round(clock: Clock) -> None:
    variants, order = tried(clock)
    assert order[:4] == order[4:8] == [(1, 8), (1, 16), (2, 8), (4, 8)]
    assert {len(item.samples_per_s) for item in variants} == {5}


@pytest.mark.parametrize(("cost_s", "rounds"), [(0.1, 5), (0.25, 4), (1.0, 3), (100.0, 3)])
def test_its_time_is_bounded_beyond_the_rounds_that_show_any_noise(cost_s: float, rounds: int, clock: Clock) -> None:
    assert len(tried(clock, cost_s=cost_s)[0][0].samples_per_s) == rounds


def test_what_fails_with_some_workers_is_not_tried_with_more(clock: Clock) -> None:
    variants, order = tried(clock, lambda variant: variant.workers == 2)
    assert order.count((2, 8)) == 1
    assert (4, 8) not in order
    assert [item.failed for item in variants] == ["", "", *["RuntimeError: no memory; left"] * 2]


def test_a_larger_batch_that_fails_leaves_the_workers_to_be_tried(clock: Clock) -> None:
    variants, _ = tried(clock, lambda variant: variant.batch_size == 16)
    assert [bool(item.failed) for item in variants] == [False, True, False, False]
    assert variants[1].samples_per_s == []


def test_where_todays_loader_fails_there_is_nothing_to_compare(clock: Clock) -> None:
    _, order = tried(clock, lambda variant: variant.workers == 1 and variant.batch_size == 8)
    assert len(order) == 2
