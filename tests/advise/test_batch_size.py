from __future__ import annotations

import math

import pytest

from preflight.advise.batch_size import MOSTLY_WASTED, NEARLY_FREE, TRADE, Range, lr_factors, step, worth_of_doubling
from preflight.advise.noise import NoiseScale


def exactly(samples: float) -> NoiseScale:
    return NoiseScale(samples, samples, samples)


def both(value: float) -> Range:
    return Range(pytest.approx(value), pytest.approx(value))


def test_at_the_noise_scale_a_doubled_batch_needs_half_more_samples_and_a_quarter_fewer_steps() -> None:
    found = step(32, 64, exactly(32))
    assert (found.samples, found.steps) == (both(1.5), both(0.75))


def test_at_equal_steps_a_doubled_batch_looks_better_because_it_has_seen_more() -> None:
    found = step(32, 64, exactly(32))
    assert (found.at_samples, found.at_steps) == (both(2 / 3), both(4 / 3))


@pytest.mark.parametrize(
    ("noise", "samples", "steps", "worth"),
    [(math.inf, 1.0, 0.5, NEARLY_FREE), (0.0, 2.0, 1.0, MOSTLY_WASTED), (96.0, 1.25, 0.625, TRADE)],
)
def test_far_below_the_noise_scale_it_is_free_and_far_above_it_is_wasted(
    noise: float, samples: float, steps: float, worth: str
) -> None:
    scale = exactly(noise)
    found = step(32, 64, scale)
    assert (found.samples, found.steps) == (both(samples), both(steps))
    assert worth_of_doubling(32, scale) == (worth, worth)


def test_a_smaller_batch_needs_fewer_samples_and_more_steps() -> None:
    found = step(32, 16, exactly(32))
    assert (found.samples, found.steps) == (both(0.75), both(1.5))


def test_the_interval_goes_through_to_every_number() -> None:
    found = step(32, 64, NoiseScale(200.0, 32.0, math.inf))
    assert found.samples == Range(1.0, 1.5)
    assert found.steps == Range(0.5, 0.75)
    assert worth_of_doubling(32, NoiseScale(200.0, 16.0, math.inf)) == (NEARLY_FREE, MOSTLY_WASTED)


def test_the_learning_rate_of_sgd_goes_with_the_batch_only_below_the_noise_scale() -> None:
    assert lr_factors(32, 64, exactly(math.inf), scales_steps=False) == both(2.0)
    assert lr_factors(32, 64, exactly(32), scales_steps=False) == both(4 / 3)
    assert lr_factors(32, 64, exactly(0), scales_steps=False) == both(1.0)


def test_that_of_adam_goes_up_to_the_square_root() -> None:
    assert lr_factors(32, 128, exactly(32), scales_steps=True) == Range(1.0, 2.0)
    assert lr_factors(32, 128, exactly(math.inf), scales_steps=None) == Range(1.0, 4.0)
