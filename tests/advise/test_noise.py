from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from preflight.advise.noise import MIN_BATCHES, NO_GRADIENT, NOT_FINITE, NoiseScale, noise_scale, over_seeds

SIZE = 32


def gradients(generator: np.random.Generator, variances: Any, batches: int = 32, size: int = SIZE) -> Any:
    """Gradients ``[k, d]`` of batches; that of all data has the length 1, and one sample's has these variances."""
    mean = np.ones(len(variances)) / math.sqrt(len(variances))
    return mean + generator.standard_normal((batches, len(variances))) * np.sqrt(np.asarray(variances) / size)


def of(found: Any, size: int = SIZE) -> NoiseScale:
    return noise_scale(found @ found.T, size)


def test_it_is_the_papers_estimate() -> None:
    found = gradients(np.random.default_rng(0), np.ones(50))
    count, mean = len(found), found.mean(axis=0)
    spread = ((found**2).sum(axis=1).mean() - mean @ mean) * SIZE * count / (count - 1)
    square = mean @ mean - spread / (count * SIZE)
    assert of(found).samples == pytest.approx(spread / square)


@pytest.mark.parametrize("variances", [np.full(40, 2.0), 120 / np.arange(1, 41) ** 1.5], ids=["even", "steep"])
def test_the_interval_holds_the_truth_as_often_as_it_says(variances: Any) -> None:
    generator, truth = np.random.default_rng(1), float(variances.sum())
    found = [of(gradients(generator, variances)) for _ in range(600)]
    share = sum(item.low <= truth <= item.high for item in found) / len(found)
    assert 0.92 <= share <= 0.99
    assert float(np.median([item.samples for item in found])) == pytest.approx(truth, rel=0.1)


def test_it_does_not_depend_on_the_size_of_the_batches() -> None:
    generator, variances = np.random.default_rng(2), np.full(40, 2.0)
    medians = [
        float(np.median([of(gradients(generator, variances, size=size), size).samples for _ in range(300)]))
        for size in (4, 16, 64)
    ]
    assert medians == pytest.approx([80.0] * 3, rel=0.1)


def test_the_unit_of_the_loss_does_not_matter() -> None:
    found = gradients(np.random.default_rng(3), np.ones(50))
    one, other = of(found), of(1e-6 * found)
    assert (one.samples, one.low, one.high) == pytest.approx((other.samples, other.low, other.high))


def test_a_gradient_within_its_noise_gives_a_lower_bound_only() -> None:
    generator = np.random.default_rng(4)
    found = [of(generator.standard_normal((16, 100))) for _ in range(100)]
    bounds = [item for item in found if not item.is_bounded]
    assert len(bounds) > 90
    assert all(0 < item.low <= item.samples for item in bounds)
    assert sum(item.is_known for item in found) > 90


def test_equal_gradients_have_no_noise() -> None:
    assert of(np.ones((MIN_BATCHES, 5))) == NoiseScale(0.0, 0.0, 0.0)


@pytest.mark.parametrize(("value", "reason"), [(0.0, NO_GRADIENT), (math.nan, NOT_FINITE), (math.inf, NOT_FINITE)])
def test_what_is_no_gradient_gives_no_number(value: float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        noise_scale(np.full((8, 8), value), SIZE)


def test_seeds_together_are_no_surer_than_the_least_sure() -> None:
    together = over_seeds([NoiseScale(100.0, 50.0, 200.0), NoiseScale(300.0, 80.0, math.inf)])
    assert together == NoiseScale(pytest.approx(150.0), 50.0, math.inf)
    assert over_seeds([NoiseScale(math.inf, 9.0, math.inf)]) == NoiseScale(math.inf, 9.0, math.inf)
    assert over_seeds([NoiseScale(0.0, 0.0, 0.0)]).samples == 0
