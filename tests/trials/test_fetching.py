"""Trials on samples that are fetched: some of them unreadable, and kept where that pays."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from preflight.tasks import kept as module
from preflight.telemetry import store
from preflight.trials.outcome import COMPLETED


class Files(Dataset[Any]):
    """A split whose samples are fetched one by one; those of ``broken`` cannot be read."""

    def __init__(self, part: tuple[Tensor, Tensor], broken: tuple[int, ...] = (), noise: float = 0.0) -> None:
        self.part, self.broken, self.noise = part, broken, noise
        self.asked = 0

    def __len__(self) -> int:
        return len(self.part[0])

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        self.asked += 1
        shift = self.noise * (random.random() + torch.rand(())) if self.noise else 0.0
        if number in self.broken:
            raise OSError(f"image {number} is truncated")
        return self.part[0][number] + shift, self.part[1][number]


@pytest.mark.parametrize("broken", [(), (3, 21)])
def test_scores_are_those_of_samples_that_are_not_kept_bit_for_bit(
    broken: tuple[int, ...], make_lab: Any, make_spec: Any, table: Any, parts: Any, monkeypatch: Any
) -> None:
    def trained(cost_s: float) -> tuple[list[Any], Files, float]:
        monkeypatch.setattr(module, "COST_S", cost_s)
        train = Files(parts[0], broken)
        lab = make_lab(data=(train, Files(parts[1], broken)))
        specs = [replace(make_spec(index % 2, steps=20, dropout=0.3), index=index) for index in range(4)]
        results = [lab.run(spec) for spec in specs]
        assert {item.outcome.status for item in results} == {COMPLETED}
        found = [
            (item.score, *table(lab, spec, "losses.csv")["mse"]) for item, spec in zip(results, specs, strict=True)
        ]
        return found, train, sum(item.spared_s for item in results)

    (kept, few, spared_s), (fetched, many, nothing_s) = trained(0.0), trained(float("inf"))
    assert kept == fetched
    assert few.asked < many.asked / 4
    assert spared_s > 0.0 == nothing_s


def test_a_sample_that_cannot_be_read_does_not_end_a_trial_and_is_told(
    make_lab: Any, make_spec: Any, parts: Any, run: Any
) -> None:
    lab = make_lab(data=(Files(parts[0], (3, 21)), Files(parts[1], (0,))))
    spec = make_spec(steps=20)
    assert lab.run(spec).outcome.status == COMPLETED
    reading = store.read_json(lab.run_dir / store.TRIALS / spec.folder_name / store.TRIAL)["reading"]
    assert [item["sample"] for item in reading["training"]["unreadable"]] == [3, 21]
    assert reading["validation"] == {
        "samples": 22,
        "fetched": 22,
        "count": 1,
        "unreadable": [{"sample": 0, "error": "OSError: image 0 is truncated"}],
    }


def test_a_trial_is_the_same_whether_its_process_knew_of_the_sample(make_lab: Any, make_spec: Any, parts: Any) -> None:
    lab = make_lab(data=(Files(parts[0], (3, 21), noise=1.0), Files(parts[1])))
    first, again = lab.run(make_spec(steps=20)), lab.run(make_spec(steps=20))
    assert (first.outcome.status, first.score) == (COMPLETED, again.score)
