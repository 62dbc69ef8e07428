from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import mannwhitneyu

from preflight.rules.predicates import (
    CERTAINTY,
    MIN_SIDE,
    RUNAWAY_RATIO,
    are_decreasing,
    first_nonfinite,
    growth_of_gradient,
    has_run_away,
)

nan, inf = np.nan, np.inf
finite = st.floats(-1e6, 1e6, width=32)  # as the recorder has them
trajectories = arrays(np.float64, st.integers(0, 40), elements=finite)


def is_decreasing(losses: np.ndarray) -> bool:
    return are_decreasing([losses])


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


@pytest.mark.parametrize(("rows", "first"), [([[1, 2], [1, nan], [inf, 2]], 1), ([[1, 2]], None)])
def test_a_row_is_bad_by_any_of_its_values(rows: list[list[float]], first: int | None) -> None:
    assert first_nonfinite(np.array(rows)) == first


@pytest.mark.filterwarnings("error")
def test_infinities_that_cancel_are_found() -> None:
    assert first_nonfinite(np.array([[1.0, 1.0], [inf, -inf]])) == 1


def test_a_loss_that_ends_far_above_its_start_has_run_away() -> None:
    assert has_run_away(np.array([1.0, 1.0, 2.0, 8.0, 9.0, 9.0, 9.0, 9.0]))


def test_a_loss_that_recovers_has_not_run_away() -> None:
    assert not has_run_away(np.array([1.0, 50.0, 90.0, 50.0, 9.0, 1.0, 0.9, 0.8]))


@pytest.mark.parametrize("steps", [3, 4, 5, 11])
def test_a_single_spike_at_the_end_is_no_runaway(steps: int) -> None:
    assert not has_run_away(np.array([*np.linspace(1.0, 1.1, steps), 1e6]))


def test_a_single_lucky_batch_at_the_end_does_not_hide_a_runaway() -> None:
    losses = np.full(20, 1e3)
    losses[0], losses[-1] = 1.0, 0.5
    assert has_run_away(losses)


def test_a_loss_that_falls_is_no_runaway_at_any_scale() -> None:
    for scale in (1e-6, 1.0, 1e6):
        assert not has_run_away(scale * noisy(1.0, 0.5, 0.05))
        assert has_run_away(scale * noisy(1.0, 9.0, 0.05))


def test_exactly_the_limit_is_no_runaway() -> None:
    assert not has_run_away(np.array([1.0, *[RUNAWAY_RATIO] * 7]))
    assert has_run_away(np.array([1.0, *[1.001 * RUNAWAY_RATIO] * 7]))


def test_a_loss_that_starts_at_its_minimum_runs_away_from_it() -> None:
    assert has_run_away(np.array([1e-4, *np.linspace(0.1, 0.5, 19)]))
    assert not has_run_away(np.array([1e-4, *np.linspace(1e-4, 2e-4, 19)]))


def test_a_loss_below_zero_runs_away_upwards_only() -> None:
    assert not has_run_away(np.array([-1.0, *[-9.0] * 7]))
    assert not has_run_away(np.array([-1.0, *[0.9] * 7]))
    assert has_run_away(np.array([-1.0, *[1.1] * 7]))


def test_a_loss_below_zero_may_lose_what_it_had_gained() -> None:
    down = np.linspace(-1.0, -9.0, 30)
    assert not has_run_away(np.append(down, [14.0] * 10))
    assert has_run_away(np.append(down, [16.0] * 10))


@pytest.mark.parametrize("seed", range(20))
def test_noise_around_a_first_loss_near_zero_is_no_runaway(seed: int) -> None:
    losses = np.append(1e-3, 0.05 + 0.3 * np.random.default_rng(seed).normal(size=39))
    assert not has_run_away(losses)


@pytest.mark.parametrize("level", [-5.0, -1e-9, 0.0, 1e-9, 5.0])
@pytest.mark.parametrize("steps", [4, 40])
def test_a_constant_loss_neither_runs_away_nor_decreases(level: float, steps: int) -> None:
    assert not has_run_away(np.full(steps, level))
    assert not is_decreasing(np.full(steps, level))


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, 9.0], [1.0, 9.0, 9.0], [1.0, nan, inf]])
def test_three_steps_are_too_few_to_run_away_or_to_show_a_trend(losses: list[float]) -> None:
    assert not has_run_away(np.array(losses))
    assert not is_decreasing(np.array(losses))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [nan, inf, -inf])
@pytest.mark.parametrize("at", [0, 5, 7])
def test_a_loss_that_is_not_finite_has_run_away(bad: float, at: int) -> None:
    losses = np.ones(8)
    losses[at] = bad
    assert has_run_away(losses)


positive = arrays(np.float64, st.integers(0, 40), elements=st.floats(0, 1e3))


@given(positive, st.floats(0, 1e3))
def test_a_level_added_to_a_loss_makes_nothing_run_away(losses: np.ndarray, level: float) -> None:
    losses = np.round(losses)
    assert has_run_away(losses) or not has_run_away(losses + round(level))


@given(trajectories, st.data())
def test_what_is_below_the_start_in_the_end_has_not_run_away(losses: np.ndarray, data: st.DataObject) -> None:
    size = len(losses) // 2
    losses[len(losses) - size :] = losses[0] if len(losses) else 0.0
    assert not has_run_away(losses)


# Powers of two are exact, so that no answer hangs on a rounded digit.
scales = st.integers(-20, 20).map(lambda power: 2.0**power)


@given(trajectories, scales)
def test_no_answer_depends_on_the_scale(values: np.ndarray, scale: float) -> None:
    assert has_run_away(scale * values) == has_run_away(values)
    assert is_decreasing(scale * values) == is_decreasing(values)
    assert growth_of_gradient(scale * np.abs(values)) == growth_of_gradient(np.abs(values))


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize(("end", "noise"), [(0.5, 0.05), (1.0, 0.3), (9.0, 0.05), (2.9, 0.5)])
def test_no_answer_depends_on_a_decimal_scale_either(scale: float, end: float, noise: float) -> None:
    for seed in range(20):
        losses = noisy(1.0, end, noise, seed=seed)
        assert has_run_away(scale * losses) == has_run_away(losses)
        assert is_decreasing(scale * losses) == is_decreasing(losses)


def test_a_gradient_grows_relative_to_its_own_start() -> None:
    assert growth_of_gradient(np.array([2.0, 1.0, 60.0, 4.0])) == 30.0
    assert growth_of_gradient(np.array([1000.0, 800.0, 1200.0])) == 1.2


def test_a_gradient_that_only_shrinks_has_not_grown() -> None:
    assert growth_of_gradient(np.array([5.0, 1.0])) == 1.0
    assert growth_of_gradient(np.array([5.0])) == 1.0


@pytest.mark.parametrize("norms", [[], [1.0, nan], [inf, 1.0]])
def test_a_gradient_that_is_not_finite_or_not_there_has_grown_without_bound(norms: list[float]) -> None:
    assert growth_of_gradient(np.array(norms)) == inf


def test_a_gradient_of_zero_moves_nothing_and_is_no_start() -> None:
    assert growth_of_gradient(np.zeros(4)) == 1.0
    assert growth_of_gradient(np.array([0.0, 0.0, 2.0, 6.0, 0.0])) == 3.0


def test_a_loss_that_falls_beyond_its_noise_decreases() -> None:
    assert is_decreasing(noisy(1.0, 0.5, 0.05))
    assert is_decreasing(noisy(1.0, 0.9, 0.001))


def test_a_loss_that_rises_does_not_decrease() -> None:
    assert not is_decreasing(noisy(0.5, 1.0, 0.05))


def test_a_fall_within_the_noise_does_not_count() -> None:
    assert not is_decreasing(noisy(1.0, 0.99, 0.5))


def test_a_fall_by_decades_is_a_fall_although_its_beginning_varies_most() -> None:
    losses = 1e4 * 10 ** -np.linspace(0, 5, 40) * (1 + 0.3 * np.random.default_rng(0).normal(size=40))
    assert is_decreasing(losses)
    assert is_decreasing(losses - 50.0)


@pytest.mark.parametrize("spike", [1e-3, 0.0, 1e3, 1e9])
@pytest.mark.parametrize("at", [0, 20, 39])
def test_one_spike_changes_nothing(spike: float, at: int) -> None:
    for end, falls in ((0.5, True), (1.0, False), (1.5, False)):
        losses = noisy(1.0, end, 0.02)
        losses[at] = spike
        assert is_decreasing(losses) == falls


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_a_loss_that_is_not_finite_does_not_decrease(bad: float) -> None:
    losses = noisy(1.0, 0.5, 0.01)
    losses[20] = bad
    assert not is_decreasing(losses)


def test_eight_steps_are_the_least_that_show_a_trend() -> None:
    assert are_decreasing([noisy(1.0, 0.0, 0.001, steps=8)] * 2)
    assert not are_decreasing([noisy(1.0, 0.0, 0.001, steps=7)] * 2)


def test_pure_noise_rarely_seems_to_decrease() -> None:
    found = [is_decreasing(noisy(1.0, 1.0, 0.1, seed=seed)) for seed in range(1000)]
    assert 0.0 < np.mean(found) < 0.05


distinct = st.lists(st.integers(-1000, 1000), max_size=40, unique=True).map(lambda v: np.array(v, dtype=float))


@given(distinct, st.integers(0, 2**32))
def test_noise_below_half_a_step_between_values_changes_nothing(losses: np.ndarray, seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(-0.49, 0.49, size=len(losses))
    assert is_decreasing(losses + noise) == is_decreasing(losses)


@given(distinct)
def test_any_scale_that_keeps_the_order_gives_the_same_answer(losses: np.ndarray) -> None:
    assert is_decreasing(np.exp(losses / 100)) == is_decreasing(losses)
    assert is_decreasing(np.cbrt(losses)) == is_decreasing(losses)


@pytest.mark.parametrize("steps", [8, 11, 16, 40])
def test_the_normal_approximation_errs_on_the_side_of_silence(steps: int) -> None:
    size = max(MIN_SIDE, steps // 4)
    missed = 0
    for seed in range(300):
        losses = noisy(1.0, 0.5, 0.3, steps=steps, seed=seed)
        exact = mannwhitneyu(losses[:size], losses[-size:], alternative="greater", method="exact")
        is_certain = exact.pvalue < 1 - CERTAINTY
        assert is_certain or not is_decreasing(losses)
        missed += is_certain and not is_decreasing(losses)
    assert missed <= 0.1 * 300


@given(trajectories)
def test_a_loss_and_its_mirror_image_do_not_both_decrease(losses: np.ndarray) -> None:
    assert not (is_decreasing(losses) and is_decreasing(losses[::-1]))


@given(trajectories, st.floats(-1e3, 1e3))
def test_whether_a_loss_decreases_does_not_depend_on_its_level(losses: np.ndarray, level: float) -> None:
    rounded = np.round(losses)
    assert is_decreasing(rounded) == is_decreasing(rounded + round(level))


def test_noise_that_hides_the_fall_of_one_run_does_not_hide_that_of_many() -> None:
    generator = np.random.default_rng(0)
    single, together, level = 0, 0, 0
    for _ in range(200):
        noise = generator.normal(size=(5, 40))
        falling = list(np.linspace(0.5, -0.5, 40) + noise)
        single += is_decreasing(falling[0])
        together += are_decreasing(falling)
        level += are_decreasing(list(noise))
    assert single < 60 < 150 < together
    assert level <= 12  # one in forty


def test_one_run_that_falls_is_not_most_of_them() -> None:
    flat = np.ones(40)
    assert not are_decreasing([np.linspace(2, 1, 40), flat, flat])
    assert not are_decreasing([])
