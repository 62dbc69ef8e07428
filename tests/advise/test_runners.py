from __future__ import annotations

import math

import pytest

from preflight.advise.runners import runners_up
from preflight.core.params import Params

TODAY = Params(lr=1.0, batch_size=8, normalization={"x": "none"})
BEST = TODAY.with_values({"lr": 0.01, "normalization.x": "robust"})
OTHER = TODAY.with_values({"lr": 0.1, "normalization.x": "robust"})


def seeds(*scores: float, first: int = 0) -> dict[int, float]:
    return {first + index: score for index, score in enumerate(scores)}


OWN = (BEST, seeds(0.1, 0.2, 0.3))


def test_a_runner_is_compared_seed_by_seed() -> None:
    (found,) = runners_up([OWN, (OTHER, seeds(0.11, 0.22, 0.33))], BEST, TODAY)
    assert found.effect.gain == pytest.approx(-0.1)  # the same on every seed, where the seeds differ by three times
    assert found.effect.high < 0
    assert not found.is_within_noise


def test_other_seeds_do_not_count() -> None:
    (found,) = runners_up([OWN, (OTHER, {**seeds(0.1, 0.2), **seeds(0.001, 0.001, first=90)})], BEST, TODAY)
    assert (found.effect.gain, found.effect.seeds) == (pytest.approx(0.0), 2)
    assert found.is_within_noise
    assert runners_up([OWN, (OTHER, seeds(0.1, 0.2, 0.3, first=90))], BEST, TODAY) == ()
    assert runners_up([OWN, (OTHER, seeds(0.1))], BEST, TODAY) == ()


def test_the_three_best_come_by_rank_and_todays_is_none_of_them() -> None:
    others = [(TODAY.with_values({"lr": 10.0**-k}), seeds(*(s * k for s in (0.1, 0.2, 0.3)))) for k in range(3, 8)]
    found = runners_up([OWN, (TODAY, seeds(0.1, 0.1, 0.1)), *reversed(others)], BEST, TODAY)
    assert [runner.params for runner in found] == [params for params, _ in others[:3]]


def test_twins_of_the_recommended_and_of_each_other_are_left_out() -> None:
    twin, near = BEST.with_values({"lr": 0.012}), OTHER.with_values({"lr": 0.12})
    found = runners_up([OWN, (twin, OWN[1]), (OTHER, seeds(0.2, 0.3, 0.4)), (near, seeds(0.3, 0.4, 0.5))], BEST, TODAY)
    assert [runner.params for runner in found] == [OTHER]


def test_rates_that_are_shown_already_are_no_runners() -> None:
    assert runners_up([OWN, (OTHER, OWN[1])], BEST, TODAY, rates_are_shown=True) == ()
    plain = TODAY.with_values({"lr": 0.1})
    assert len(runners_up([OWN, (plain, OWN[1])], BEST, TODAY, rates_are_shown=True)) == 1


def test_a_lost_run_counts_against_it() -> None:
    (found,) = runners_up([OWN, (OTHER, seeds(math.inf, math.inf, math.inf))], BEST, TODAY)
    assert found.effect.gain < -1


def test_nothing_is_said_where_the_recommended_settings_were_not_measured_or_alone() -> None:
    assert runners_up([(OTHER, seeds(0.1, 0.2))], BEST, TODAY) == ()
    assert runners_up([OWN], BEST, TODAY) == ()
    assert runners_up([], BEST, TODAY) == ()


def test_of_an_answer_to_keep_the_others_are_beside_todays() -> None:
    found = runners_up([(TODAY, seeds(0.1, 0.2, 0.3)), (OTHER, seeds(0.2, 0.4, 0.6))], TODAY, TODAY)
    assert [runner.effect.gain for runner in found] == [pytest.approx(-1.0)]
