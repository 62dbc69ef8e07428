from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from preflight.core.model_settings import FieldSettings
from preflight.core.params import Params
from preflight.probes import flaws as module
from preflight.probes.fields import inspect_field
from preflight.probes.flaws import COVERED, INPUT, NOT_FINITE, OUTLIER, TRAINING, Expected, Flaw, find_flaws, told
from preflight.tasks.data import Collated, InMemory, Source, take_samples
from preflight.tasks.reader import Reader

SHUFFLED = Params(lr=0.1, batch_size=32)
IN_ORDER = Params(lr=0.1, batch_size=32, shuffle=False)
SIZE = 5000
NAMED = FieldSettings(features=("a", "b", "c"))


def rows() -> Tensor:
    return torch.randn(SIZE, 3, generator=torch.Generator().manual_seed(0))


def found_in(source: Source, settings: FieldSettings = NAMED) -> list[Flaw]:
    samples = take_samples(source)
    field = inspect_field("x", samples[1], settings, len(source))
    return find_flaws(TRAINING, source, samples, [Expected(INPUT, field.layout, field.ranges)])


def summary(flaws: list[Flaw]) -> list[Any]:
    return [(flaw.what, flaw.feature, flaw.values, flaw.samples) for flaw in flaws]


def test_sound_data_has_none() -> None:
    assert found_in(InMemory({"x": rows()})) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_every_sample_in_memory_is_looked_at(bad: float, dtype: torch.dtype) -> None:
    x = rows().to(dtype)
    looked_at = set(take_samples(InMemory({"x": x}))[0].tolist())
    sample = next(number for number in range(1234, SIZE) if number not in looked_at)
    x[sample, 2] = bad
    flaws = found_in(InMemory({"x": x}))
    assert summary(flaws) == [(NOT_FINITE, 2, 1, [sample])]
    assert told(flaws, SHUFFLED) == (
        f"in the training data, feature 'c' of input 'x' has 1 value that is not finite, in sample {sample}"
    )


def test_an_outlier_is_told_with_what_is_usual() -> None:
    x = rows()
    x[77, 1], x[1234, 1] = -1e29, 1e30
    flaws = found_in(InMemory({"x": x}))
    assert summary(flaws) == [(OUTLIER, 1, 2, [77, 1234])]
    text = told(flaws, SHUFFLED)
    assert "feature 'b' of input 'x' is 1e+30 in samples 77, 1234, where 99.9% of the values lie within 3." in text


def test_many_samples_are_counted_and_the_first_ones_named() -> None:
    x = torch.zeros(SIZE, 4, 1)
    x[100:200, :2] = math.nan
    flaws = found_in(InMemory({"x": x}), FieldSettings())
    assert [(flaw.values, flaw.samples) for flaw in flaws] == [(200, [100, 101, 102, 103, 104])]
    assert told(flaws, SHUFFLED).endswith(
        "input 'x' has 200 values that are not finite, in 100 samples, the first 100, 101, 102, 103, 104"
    )


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    x = rows()
    x[::7, 1] = math.nan
    x[4999, 2] = 1e30
    whole = found_in(InMemory({"x": x}))
    monkeypatch.setattr(module, "CHUNK_VALUES", 100)
    assert summary(found_in(InMemory({"x": x}))) == summary(whole)
    assert [flaw.more_samples for flaw in whole] == [len(range(0, SIZE, 7)) - 5, 0]


def test_the_batch_is_named_where_samples_come_in_order() -> None:
    x = rows()
    x[1234, 0] = math.nan
    flaws = found_in(InMemory({"x": x}))
    assert told(flaws, IN_ORDER).endswith("in sample 1234 (batch 38 of an epoch)")


def test_of_many_features_the_first_are_named() -> None:
    flaws = found_in(InMemory({"x": torch.full((50, 9), math.nan)}), FieldSettings())
    assert len(flaws) == 9
    assert told(flaws, SHUFFLED).count("not finite") == 3
    assert told(flaws, SHUFFLED).endswith("; and so have 6 more features")


def test_values_under_a_mask_do_not_count_but_what_is_not_finite_is_known() -> None:
    x = torch.randn(SIZE, 4, 1, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(SIZE, 4, dtype=torch.bool)
    valid[10:20, 3] = False
    x[10, 3], x[11, 3], x[12, 2] = math.nan, 1e30, math.nan
    flaws = found_in(InMemory({"x": x, "valid": valid}), FieldSettings(mask="valid"))
    assert summary(flaws) == [(NOT_FINITE, 0, 1, [12]), (COVERED, 0, 1, [10])]


class Fetched:
    """A map-style data set that remembers what was asked for."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.asked.append(index)
        return self.x[index], torch.zeros(())


def test_of_samples_that_must_be_fetched_only_some_are_looked_at() -> None:
    x = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0))
    samples = Fetched(x)
    source = Collated(Reader(samples), torch.utils.data.default_collate, ("x", "y"), torch.device("cpu"))
    numbers, batch = take_samples(source)
    x[numbers[7], 0], x[int(numbers[7]) + 1, 1] = math.nan, math.nan
    batch["x"][7, 0] = math.nan
    samples.asked.clear()
    field = inspect_field("x", batch, NAMED, len(source))
    flaws = find_flaws(TRAINING, source, (numbers, batch), [Expected(INPUT, field.layout, field.ranges)])
    assert summary(flaws) == [(NOT_FINITE, 0, 1, [int(numbers[7])])]
    assert samples.asked == []


def test_integers_that_hold_amounts_are_looked_at() -> None:
    x = torch.randint(0, 50, (SIZE, 1), generator=torch.Generator().manual_seed(0))
    x[99] = -(2**62)
    assert summary(found_in(InMemory({"x": x}), FieldSettings(kind=("count",)))) == [(OUTLIER, 0, 1, [99])]
