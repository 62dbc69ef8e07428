from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from preflight.probes.reading import look_at_reading


class Files(Dataset[Any]):
    def __init__(self, broken: tuple[int, ...] = ()) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 40

    def __getitem__(self, number: int) -> Any:
        if number in self.broken:
            raise OSError("truncated")
        return torch.ones(3), number % 4


def look(task: Any, *others: Any) -> dict[str, Any]:
    found = look_at_reading(task, others)
    json.dumps(found)
    return found["reading"]  # type: ignore[no-any-return]


def test_data_in_memory_has_nothing_to_tell(make_task: Any) -> None:
    assert look(make_task(), {}) == {"loader": False, "splits": {}}


def test_what_was_met_is_told_by_split(make_task: Any) -> None:
    task = make_task(data=(Files((2, 3)), Files()))
    task.data.train.batch(torch.arange(10))
    splits = look(task)["splits"]
    assert (splits["training"]["samples"], splits["training"]["fetched"]) == (40, 12)
    assert (splits["training"]["count"], splits["training"]["share"]) == (2, pytest.approx(2 / 12))
    assert splits["training"]["unreadable"][0] == {"sample": 2, "error": "OSError: truncated"}
    assert splits["validation"]["count"] == 0
    assert look(make_task(data=(DataLoader(Files(), batch_size=4), Files())))["loader"]


def test_what_trials_in_other_processes_met_is_added(make_task: Any) -> None:
    task = make_task(data=(Files((2,)), Files()))
    task.data.train.batch(torch.arange(8))
    errors = [{"sample": number, "error": "OSError: truncated"} for number in (2, 7)]
    other = {"training": {"samples": 40, "fetched": 38, "count": 2, "unreadable": errors}}
    training = look(task, other, {}, other)["splits"]["training"]
    assert training == {"samples": 40, "fetched": 38, "share": 2 / 38, "count": 2, "unreadable": errors}
