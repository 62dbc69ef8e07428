from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from preflight.advise.evidence import CEILING, CONFIDENCE, MIN_GAIN, Effect, effect, percent

positive = st.floats(1e-3, 10)
paired = st.dictionaries(st.integers(0, 50), st.tuples(positive, positive), min_size=2, max_size=8)


def split(pairs: dict[int, tuple[float, float]]) -> tuple[dict[int, float], dict[int, float]]:
    return {seed: pair[0] for seed, pair in pairs.items()}, {seed: pair[1] for seed, pair in pairs.items()}


def simulated(gain: float, noise: float, seeds: int, generator: np.random.Generator) -> Effect:
    """Two settings on the same seeds: how hard a seed is moves both, and cancels."""
    difficulty = np.exp(generator.normal(size=seeds))
    before = difficulty * np.exp(noise * generator.normal(size=seeds))
    after = difficulty * (1 - gain) * np.exp(noise * generator.normal(size=seeds))
    return effect(dict(enumerate(before)), dict(enumerate(after)))


@pytest.mark.parametrize("seeds", [2, 5, 10])
@pytest.mark.parametrize("gain", [0.0, 0.3, -0.5])
def test_the_interval_covers_the_true_effect_as_often_as_it_says(seeds: int, gain: float) -> None:
    generator = np.random.default_rng([seeds, int(100 * (1 + gain))])
    found = [simulated(gain, 0.1, seeds, generator) for _ in range(1500)]
    covered = np.mean([item.low <= gain <= item.high for item in found])
    assert abs(covered - CONFIDENCE) < 4 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / 1500)


def test_without_an_effect_a_gain_is_seen_in_one_of_forty_at_most() -> None:
    generator = np.random.default_rng(0)
    found = [simulated(0.0, 0.1, 5, generator) for _ in range(1500)]
    assert np.mean([item.is_better for item in found]) < 0.04
    assert np.mean([item.is_worse for item in found]) < 0.04


def test_a_large_effect_is_seen() -> None:
    generator = np.random.default_rng(0)
    assert np.mean([simulated(0.3, 0.05, 5, generator).is_better for _ in range(200)]) > 0.99


def test_a_gain_is_the_share_that_the_score_is_lower() -> None:
    found = effect({1: 1.0, 2: 2.0}, {1: 0.7, 2: 1.4})
    assert found.gain == pytest.approx(0.3)
    assert found.seeds == 2


def test_identical_runs_are_neither_better_nor_worse() -> None:
    scores = {1: 0.5, 2: 0.7, 3: 0.6}
    found = effect(scores, dict(scores))
    assert found == Effect(0.0, 0.0, 0.0, 3)
    assert (found.is_better, found.is_worse, found.is_undecided) == (False, False, False)


@given(paired)
def test_the_effect_lies_inside_its_interval(pairs: dict[int, tuple[float, float]]) -> None:
    found = effect(*split(pairs))
    assert found.low - 1e-9 <= found.gain <= found.high + 1e-9
    assert found.high <= 1
    assert found.seeds == len(pairs)


@given(paired)
def test_going_back_undoes_the_effect(pairs: dict[int, tuple[float, float]]) -> None:
    before, after = split(pairs)
    there, back = effect(before, after), effect(after, before)
    assert (1 - there.gain) * (1 - back.gain) == pytest.approx(1)
    assert not (there.is_better and back.is_better)
    assert there.is_better <= back.is_worse


@given(paired, st.floats(0.1, 10))
def test_the_unit_of_the_score_does_not_matter(pairs: dict[int, tuple[float, float]], unit: float) -> None:
    before, after = split(pairs)
    assume(max(*before.values(), *after.values()) * max(unit, 1) < CEILING)
    scaled = effect({s: unit * v for s, v in before.items()}, {s: unit * v for s, v in after.items()})
    plain = effect(before, after)
    assert (scaled.gain, scaled.low, scaled.high) == pytest.approx((plain.gain, plain.low, plain.high), 1e-6, 1e-6)


@given(paired, st.integers(2, 10))
def test_having_looked_at_several_widens_the_interval(pairs: dict[int, tuple[float, float]], comparisons: int) -> None:
    one, several = effect(*split(pairs)), effect(*split(pairs), comparisons)
    assert several.gain == one.gain
    assert several.low <= one.low
    assert several.high >= one.high
    if one.high - one.low > 1e-6:
        assert several.low < one.low


def test_the_widening_is_bonferronis() -> None:
    scores = {1: 1.0, 2: 1.1, 3: 0.9}, {1: 0.7, 2: 0.9, 3: 0.5}
    logs = np.log([scores[1][seed] / scores[0][seed] for seed in (1, 2, 3)])
    # Student's t with two degrees of freedom has a closed form: the quantile of 1 - 0.05 / (2 * 5).
    tail = 0.05 / (2 * 5)
    t = (1 - 2 * tail) * math.sqrt(2 / (4 * tail * (1 - tail)))
    low = 1 - math.exp(logs.mean() + t * logs.std(ddof=1) / math.sqrt(3))
    assert effect(*scores, 5).low == pytest.approx(low)


@pytest.mark.parametrize(("after", "gain"), [({1: 0.5}, 0.5), ({1: 2.0}, -1.0)])
def test_one_seed_shows_no_noise_and_proves_nothing(after: dict[int, float], gain: float) -> None:
    found = effect({1: 1.0}, after)
    assert found.gain == pytest.approx(gain)
    assert (found.low, found.high, found.seeds) == (-math.inf, 1.0, 1)
    assert not found.is_better
    assert not found.is_worse


def test_no_seed_in_common_is_no_comparison() -> None:
    found = effect({1: 1.0, 2: 1.0}, {3: 0.5, 4: 0.5})
    assert math.isnan(found.gain)
    assert found.seeds == 0
    assert (found.is_better, found.is_worse, found.is_undecided) == (False, False, False)


def test_only_seeds_that_both_have_count() -> None:
    found = effect({1: 1.0, 2: 1.0, 3: 9.0}, {1: 0.5, 2: 0.5, 4: 9.0})
    assert (found.gain, found.seeds) == (pytest.approx(0.5), 2)


def test_a_score_of_zero_is_no_error() -> None:
    found = effect({1: 0.0, 2: 0.0}, {1: 0.0, 2: 0.0})
    assert found.gain == 0.0
    assert effect({1: 1.0, 2: 1.0}, {1: 0.0, 2: 0.0}).gain == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("found", "better", "worse", "undecided"),
    [
        (Effect(0.3, 0.2, 0.4, 5), True, False, False),
        (Effect(0.3, -0.1, 0.5, 5), False, False, True),
        (Effect(0.3, 0.0, 0.5, 5), False, False, True),
        (Effect(0.3, -math.inf, 1.0, 1), False, False, True),
        (Effect(MIN_GAIN, 0.001, 0.1, 5), True, False, False),
        (Effect(0.019, 0.018, 0.02, 5), False, False, False),
        (Effect(-0.2, -0.3, -0.1, 5), False, True, False),
        (Effect(-0.2, -0.5, 0.1, 5), False, False, False),
    ],
)
def test_better_is_certain_and_worth_having(found: Effect, better: bool, worse: bool, undecided: bool) -> None:
    assert (found.is_better, found.is_worse, found.is_undecided) == (better, worse, undecided)


def test_two_seeds_that_differ_are_vague_and_no_absurd_number_is_shown() -> None:
    found = effect({1: 1.0, 2: 1.0}, {1: 0.9, 2: 0.3})
    assert found.is_vague
    assert not found.is_better
    assert found.interval.startswith("below -100% to ")
    assert not effect({1: 1.0, 2: 1.1, 3: 1.0}, {1: 0.9, 2: 1.0, 3: 0.95}).is_vague


def test_one_seed_tells_nothing() -> None:
    found = effect({1: 1.0}, {1: 0.5})
    assert found.is_vague
    assert found.interval == "interval unknown"


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ({1: 0.5, 2: 0.5}, "takes 50% off the validation score (50% to 50%, 2 seeds)"),
        ({1: 1.5, 2: 1.5}, "adds 50% to the validation score (gain -50% to -50%, 2 seeds)"),
    ],
)
def test_an_effect_reads_as_what_it_does(scores: dict[int, float], text: str) -> None:
    assert str(effect({1: 1.0, 2: 1.0}, scores)) == text


def test_nothing_has_no_sign() -> None:
    assert (percent(-0.001), percent(-0.006)) == ("0%", "-1%")


@pytest.mark.parametrize(
    ("share", "text"), [(0.31, "31%"), (0.986, "98.6%"), (0.99, "99%"), (0.9999999, "99.999%"), (1.0, "100%")]
)
def test_a_share_that_is_not_all_of_it_does_not_read_as_all_of_it(share: float, text: str) -> None:
    assert percent(share) == text


def test_one_seed_that_flew_off_says_no_more_than_that_it_did() -> None:
    after = {1: 0.5, 2: 0.6, 3: 0.5, 4: 0.55}
    lost = effect({1: 1.0, 2: math.inf, 3: 1.0, 4: 1.1}, after)
    assert lost == effect({1: 1.0, 2: 1e30, 3: 1.0, 4: 1.1}, after) == effect({1: 1.0, 2: 10.0, 3: 1.0, 4: 1.1}, after)
    assert not lost.is_worse


def test_scores_far_above_a_constant_prediction_are_still_told_apart() -> None:
    found = effect({1: 4e4, 2: 1e5, 3: 6e4}, {1: 10.0, 2: 11.0, 3: 10.5})
    assert found.is_better
    assert not effect({1: 10.0, 2: 11.0, 3: 10.5}, {1: 4e4, 2: 1e5, 3: 6e4}).is_better


def test_where_all_is_lost_nothing_is_gained() -> None:
    assert effect({1: math.inf, 2: math.nan}, {1: math.inf, 2: math.inf}).gain == 0
