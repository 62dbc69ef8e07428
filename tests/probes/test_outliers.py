from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from preflight.probes.outliers import usual_range

Sample = Callable[[int, Generator], Tensor]


def uniform(size: int, generator: Generator) -> Tensor:
    return torch.rand(size, generator=generator, dtype=torch.float64)


def normal(size: int, generator: Generator) -> Tensor:
    return torch.randn(size, generator=generator, dtype=torch.float64)


SAMPLES: dict[str, Sample] = {
    "normal": normal,
    "uniform": uniform,
    "exponential": lambda n, g: -uniform(n, g).log(),
    "lognormal": lambda n, g: (1.5 * normal(n, g)).exp(),
    "wide lognormal": lambda n, g: (3 * normal(n, g)).exp(),
    "pareto": lambda n, g: 1 / uniform(n, g),
    "pareto without a mean": lambda n, g: uniform(n, g) ** -2.0,
    "rare flags": lambda n, g: (uniform(n, g) < 0.005).double(),
    "rare amounts": lambda n, g: (uniform(n, g) < 0.005) * (3 * normal(n, g)).exp(),
    "large in every sample": lambda n, g: 1e25 * (1 + 0.1 * normal(n, g)),
    "constant": lambda n, g: torch.full((n,), 5.0, dtype=torch.float64),
}


def is_outlier(value: float, values: Tensor, total: int | None = None) -> bool:
    usual = usual_range(values, total or len(values))
    return not usual.low <= value <= usual.high


@pytest.mark.parametrize("size", [100, 1000, 4000])
@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_no_value_of_a_distribution_is_an_outlier_of_it(sample: Sample, size: int) -> None:
    found = 0
    for seed in range(30):
        values = sample(size, torch.Generator().manual_seed(seed))
        usual = usual_range(values, size)
        found += bool(((values < usual.low) | (values > usual.high)).any())
    assert found <= 1  # a power law has one in a thousand samples, or a few with a tip of few values


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_what_a_part_says_is_usual_holds_for_the_whole(sample: Sample) -> None:
    found = 0
    for seed in range(5):
        values = sample(200_000, torch.Generator().manual_seed(seed))
        usual = usual_range(values[::50], len(values))
        found += bool(((values < usual.low) | (values > usual.high)).any())
    assert found <= 1


@pytest.mark.parametrize("value", [1e30, -1e30, 1e38])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "large in every sample"])
def test_an_absurd_value_is_an_outlier_although_it_is_among_the_values(name: str, count: int, value: float) -> None:
    values = SAMPLES[name](1000, torch.Generator().manual_seed(0))
    values[10 : 10 + count] = value
    assert is_outlier(value, values)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_a_sentinel_is_an_outlier_in_any_unit(unit: float) -> None:
    values = unit * normal(1000, torch.Generator().manual_seed(0))
    values[3] = -9999 * unit
    assert is_outlier(-9999 * unit, values)


def test_few_values_tell_nothing() -> None:
    assert not is_outlier(1e30, torch.tensor([1.0, 2.0, 1e30]))


def test_what_is_not_finite_is_left_out() -> None:
    values = normal(100, torch.Generator().manual_seed(0))
    usual = usual_range(values, 100)
    values = torch.cat([values, torch.tensor([math.nan, math.inf])])
    assert usual_range(values, 100) == usual


def test_nearly_all_values_lie_within_the_shoulder() -> None:
    values = normal(5000, torch.Generator().manual_seed(0))
    usual = usual_range(values, 5000)
    assert int(((values - usual.middle).abs() > usual.shoulder).sum()) == 5
