from __future__ import annotations

import os

import pytest
import torch

from preflight.search.engines.count import MAX_WORKERS, process_count, worker_count
from preflight.tasks import given
from preflight.tasks.data import Collated

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(30), raising=False)


def test_workers_are_those_asked_for_or_one_per_core() -> None:
    assert (worker_count(3, CPU), worker_count(None, CPU), worker_count(None, GPU)) == (3, MAX_WORKERS, 1)


def test_the_process_that_asks_the_workers_holds_the_data_too() -> None:
    assert (process_count(3, CPU), process_count(1, CPU), process_count(None, GPU)) == (4, 1, 1)


def test_the_room_for_samples_is_shared_by_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "room_bytes", lambda processes: 1000 // processes)
    samples = [(torch.zeros(3), 0)] * 4
    data = given.read_data((samples, samples), given.Roles((), ()), CPU, process_count(4, CPU))
    assert isinstance(data.train, Collated) and isinstance(data.validation, Collated)
    train, validation = data.train.reader.kept, data.validation.reader.kept
    assert train is not None and validation is not None
    assert train._room is validation._room
    assert train._room.left_bytes <= 200
