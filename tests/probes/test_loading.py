from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from preflight.core.params import Params
from preflight.core.units import RunLength
from preflight.probes import loading
from preflight.probes.loading import bound_on_gain, look_at_loading, look_at_logging

PARAMS = Params(lr=0.1, batch_size=8)


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now, self.busy = 0.0, 1.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now * self.busy


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the probe; a training step takes a quarter of a second on it."""
    found, take = Clock(), loading.take_step

    def step(*arguments: Any) -> None:
        found.now += 0.25
        take(*arguments)

    monkeypatch.setattr(loading, "time", found)
    monkeypatch.setattr(loading, "take_step", step)
    return found


class Slow(Dataset[tuple[Tensor, int]]):
    """Samples that take their time, each of them."""

    def __init__(self, clock: Clock, cost_s: float) -> None:
        self.clock, self.cost_s = clock, cost_s

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.clock.now += self.cost_s
        return torch.ones(3), index % 4


def look(task: Any, params: Params = PARAMS) -> dict[str, Any]:
    found = look_at_loading(task, params, 0)
    json.dumps(found)
    return found["loading"]  # type: ignore[no-any-return]


def test_waiting_and_computing_are_measured_apart(make_task: Any, clock: Clock) -> None:
    found = look(make_task(data=(Slow(clock, 0.01), Slow(clock, 0.0))))
    assert (found["wait_s"], found["compute_s"]) == (pytest.approx(0.08), pytest.approx(0.25))
    assert (found["per_sample_s"], found["fixed_s"]) == (pytest.approx(0.01), pytest.approx(0.0, abs=1e-9))
    assert found["gain_bound"] == pytest.approx(0.33 / 0.08 - 1)
    assert found["steps_s"] == [pytest.approx(0.33)] * found["batches"]
    assert (found["workers"], found["epoch_batches"]) == (None, 5)


def test_the_cpu_time_of_fetching_is_told_from_waiting(make_task: Any, clock: Clock) -> None:
    """What a sample waits for costs no CPU: more of it can be waited for at a time than there are cores."""
    clock.busy = 0.25
    found = look(make_task(data=(Slow(clock, 0.01), Slow(clock, 0.0))), replace(PARAMS, num_workers=2))
    assert found["fetch_cpu_s"] == pytest.approx(0.02)
    assert (found["workers"], found["cores"] >= 1) == (2, True)


@pytest.mark.parametrize(("cost_s", "batches"), [(0.0, 8), (0.1, 3), (100.0, 3)])
def test_its_time_is_bounded(cost_s: float, batches: int, make_task: Any, clock: Clock) -> None:
    assert look(make_task(data=(Slow(clock, cost_s), Slow(clock, 0.0))))["batches"] == batches


def test_data_in_memory_does_not_wait(make_task: Any, clock: Clock) -> None:
    found = look(make_task())
    assert (found["wait_s"], found["gain_bound"]) == (0.0, None)


def test_a_batch_of_one_has_one_size_only(make_task: Any) -> None:
    found = look(make_task(), Params(lr=0.1, batch_size=1))
    assert (found["per_sample_s"], found["fixed_s"]) == (found["wait_s"], 0.0)


def test_the_bound_is_that_of_computing_for_nothing() -> None:
    assert bound_on_gain(4.9, 0.3, 40, 4.9 / 40) == pytest.approx(0.061, abs=1e-3)
    assert bound_on_gain(1.0, 1.0, 10, 0.05) == pytest.approx(3.0)
    assert bound_on_gain(1.0, 1.0, 10, 0.0) is None
    assert bound_on_gain(1.0, 0.0, 10, 0.11) == 0.0  # a larger batch does not lose samples either


def test_the_users_loader_is_known(make_task: Any, clock: Clock) -> None:
    loader = DataLoader(Slow(clock, 0.0), batch_size=8, num_workers=1)
    assert make_task(data=(loader, Slow(clock, 0.0))).loader is loader
    assert make_task().loader is None
    parts = {"train": loader, "validation": Slow(clock, 0.0)}
    assert make_task(data=parts).loader is loader


def test_the_random_state_is_left_alone(make_task: Any) -> None:
    task, before = make_task(), torch.get_rng_state()
    look(task)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_interval_of_logging_is_a_fact_where_it_is_given(make_task: Any) -> None:
    length = RunLength(500, 8, 40)
    assert look_at_logging(make_task(), length) == {}
    facts = look_at_logging(make_task(log_every_steps=1000), length)
    assert facts == {"logging": {"interval_steps": 1000, "horizon_steps": 500}}
