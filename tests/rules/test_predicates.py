from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from preflight.rules.predicates import (
    RUNAWAY_RATIO,
    first_nonfinite,
    growth_of_gradient,
    has_run_away,
    is_decreasing,
)

nan, inf = np.nan, np.inf
finite = st.floats(-1e6, 1e6)
trajectories = arrays(np.float64, st.integers(0, 40), elements=finite)


def noisy(start: float, end: float, noise: float, steps: int = 40, seed: int = 0) -> np.ndarray:
    """A straight line with noise."""
    return np.linspace(start, end, steps) + noise * np.random.default_rng(seed).normal(size=steps)


@pytest.mark.parametrize(
    ("values", "index"),
    [([1.0, nan, inf], 1), ([-inf, 1.0], 0), ([1.0, 2.0, inf], 2), ([nan, nan], 0)],
)
def test_the_first_that_is_not_finite_is_found(values: list[float], index: int) -> None:
    assert first_nonfinite(np.array(values)) == index


@pytest.mark.parametrize("values", [[], [0.0], [1e308, -1e308]])
def test_where_all_is_finite_there_is_none(values: list[float]) -> None:
    assert first_nonfinite(np.array(values)) is None


@given(trajectories, st.data())
def test_nothing_before_the_first_nonfinite_value_is_bad(values: np.ndarray, data: st.DataObject) -> None:
    for index in data.draw(st.lists(st.integers(0, max(0, len(values) - 1)), max_size=3)):
        values[index : index + 1] = data.draw(st.sampled_from([nan, inf, -inf]))
    first = first_nonfinite(values)
    assert np.isfinite(values[:first]).all()
    assert first is None or not np.isfinite(values[first])


def test_a_loss_that_ends_far_above_its_start_has_run_away() -> None:
    assert has_run_away(np.array([1.0, 1.0, 2.0, 8.0, 9.0, 9.0, 9.0, 9.0]))


def test_a_loss_that_recovers_has_not_run_away() -> None:
    assert not has_run_away(np.array([1.0, 50.0, 90.0, 50.0, 9.0, 1.0, 0.9, 0.8]))


def test_a_single_spike_at_the_end_is_no_runaway() -> None:
    assert not has_run_away(np.array([1.0] * 11 + [1e6]))


def test_a_loss_that_falls_is_no_runaway_at_any_scale() -> None:
    for scale in (1e-6, 1.0, 1e6):
        assert not has_run_away(scale * noisy(1.0, 0.5, 0.05))
        assert has_run_away(scale * noisy(1.0, 9.0, 0.05))


def test_exactly_the_limit_is_no_runaway() -> None:
    assert not has_run_away(np.array([1.0, *[RUNAWAY_RATIO] * 7]))
    assert has_run_away(np.array([1.0, *[1.001 * RUNAWAY_RATIO] * 7]))


def test_a_loss_below_zero_runs_away_upwards_only() -> None:
    assert not has_run_away(np.array([-1.0, *[-9.0] * 7]))
    assert not has_run_away(np.array([-1.0, *[2.9] * 7]))
    assert has_run_away(np.array([-1.0, *[3.1] * 7]))


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, 9.0, 9.0]])
def test_three_steps_are_too_few_to_run_away(losses: list[float]) -> None:
    assert not has_run_away(np.array(losses))


def test_a_gradient_grows_relative_to_its_own_start() -> None:
    assert growth_of_gradient(np.array([2.0, 1.0, 60.0, 4.0])) == 30.0
    assert growth_of_gradient(np.array([1000.0, 800.0, 1200.0])) == 1.2


def test_a_gradient_that_only_shrinks_has_not_grown() -> None:
    assert growth_of_gradient(np.array([5.0, 1.0])) == 1.0
    assert growth_of_gradient(np.array([5.0])) == 1.0


@pytest.mark.parametrize("norms", [[], [1.0, nan], [inf, 1.0]])
def test_a_gradient_that_is_not_finite_or_not_there_has_grown_without_bound(norms: list[float]) -> None:
    assert growth_of_gradient(np.array(norms)) == inf


def test_a_gradient_of_zero_does_not_divide_by_it() -> None:
    assert growth_of_gradient(np.zeros(4)) == 0.0
    assert growth_of_gradient(np.array([0.0, 1.0])) >= 1e12


def test_growth_does_not_depend_on_the_scale() -> None:
    norms = np.array([2.0, 7.0, 3.0])
    assert growth_of_gradient(1e6 * norms) == pytest.approx(growth_of_gradient(norms))


def test_a_loss_that_falls_beyond_its_noise_decreases() -> None:
    assert is_decreasing(noisy(1.0, 0.5, 0.05))
    assert is_decreasing(noisy(1.0, 0.9, 0.001))


def test_a_loss_that_rises_does_not_decrease() -> None:
    assert not is_decreasing(noisy(0.5, 1.0, 0.05))


def test_a_fall_within_the_noise_does_not_count() -> None:
    assert not is_decreasing(noisy(1.0, 0.99, 0.5))


def test_a_constant_loss_does_not_decrease() -> None:
    assert not is_decreasing(np.full(40, 1.5))


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_a_loss_that_is_not_finite_does_not_decrease(bad: float) -> None:
    losses = noisy(1.0, 0.5, 0.01)
    losses[20] = bad
    assert not is_decreasing(losses)


def test_eight_steps_are_the_least_that_show_a_trend() -> None:
    assert is_decreasing(noisy(1.0, 0.0, 0.001, steps=8))
    assert not is_decreasing(noisy(1.0, 0.0, 0.001, steps=7))


def test_pure_noise_rarely_seems_to_decrease() -> None:
    found = [is_decreasing(noisy(1.0, 1.0, 0.1, seed=seed)) for seed in range(1000)]
    assert 0.0 < np.mean(found) < 0.05


@given(trajectories)
def test_a_loss_and_its_mirror_image_do_not_both_decrease(losses: np.ndarray) -> None:
    assert not (is_decreasing(losses) and is_decreasing(losses[::-1]))


@given(trajectories, st.floats(-1e3, 1e3))
def test_whether_a_loss_decreases_does_not_depend_on_its_level(losses: np.ndarray, level: float) -> None:
    rounded = np.round(losses)
    assert is_decreasing(rounded) == is_decreasing(rounded + round(level))
