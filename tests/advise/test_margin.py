from __future__ import annotations

import math

import pytest

from preflight.advise.ladder import BEST, EXPLODES, NO_PROGRESS, STABLE, TOO_HIGH, Rung
from preflight.advise.margin import close_walls, reach, valley
from preflight.advise.recommendation import Near


def ladder(**verdicts: str) -> list[Rung]:
    """Rungs by ``e`` and the exponent: ``e2="best"`` is a rate of 1e-2."""
    return [
        Rung(10 ** -int(name[1:]), "", 3, 1.0, 1.0, True, 0, "", 0.5, verdict) for name, verdict in verdicts.items()
    ]


def near(lr: float, *scores: float) -> Near:
    """Scores of seeds 0, 1, ..., whose typical one is their geometric mean."""
    is_lost = any(math.isinf(score) for score in scores)
    typical = math.inf if is_lost else math.exp(sum(map(math.log, scores)) / len(scores))
    return Near(lr, typical, max(scores), dict(enumerate(scores)))


def test_the_first_rate_that_fails_is_the_wall() -> None:
    found = reach(1e-3, ladder(e4=NO_PROGRESS, e3=STABLE, e2=BEST, e1=TOO_HIGH, e0=EXPLODES))
    assert found is not None
    assert (found.fails_at, found.how, found.trains_at) == (0.1, TOO_HIGH, 0.01)
    assert found.factor == pytest.approx(100)


def test_a_rate_that_fails_below_the_best_one_is_no_wall_above_it() -> None:
    found = reach(1e-2, ladder(e4=EXPLODES, e3=STABLE, e2=BEST, e1=STABLE))
    assert found is not None
    assert found.fails_at is None
    assert (found.factor, found.highest) == (math.inf, 0.1)


def test_a_rate_beyond_the_wall_has_a_factor_below_one() -> None:
    found = reach(0.5, ladder(e3=BEST, e2=STABLE, e1=EXPLODES))
    assert found is not None
    assert found.factor == pytest.approx(0.2)
    assert list(close_walls(0.5, found, None)) == [(0.1, EXPLODES)]


def test_where_every_rate_explodes_there_is_none_that_trains() -> None:
    found = reach(1e-2, ladder(e3=EXPLODES, e2=EXPLODES, e1=EXPLODES))
    assert found is not None
    assert (found.fails_at, found.trains_at) == (1e-3, None)


def test_no_ladder_tells_nothing() -> None:
    assert reach(0.1, []) is None


@pytest.mark.parametrize(("lr", "is_close"), [(0.051, True), (0.05, False), (0.01, False)])
def test_a_wall_is_close_within_a_factor_of_two(lr: float, is_close: bool) -> None:
    found = reach(lr, ladder(e3=BEST, e2=STABLE, e1=EXPLODES))
    assert bool(list(close_walls(lr, found, None))) == is_close


def test_the_valley_ends_where_a_neighbour_costs_more() -> None:
    around = [near(1e-4, 1.0, 1.1), near(1e-3, 0.1, 0.11), near(1e-2, 0.1, 0.108), near(1e-1, 0.2, 0.216)]
    found = valley(around)
    assert found is not None
    assert (found.best, found.low, found.high) == (1e-2, 1e-3, 1e-2)
    assert found.below is not None
    assert found.above is not None
    assert (found.below.lr, found.above.lr) == (1e-4, 1e-1)
    assert found.above.cost == pytest.approx(1.0)  # twice the score of the best, on both seeds
    assert found.above.effect is not None
    assert found.above.effect.gain == pytest.approx(-1.0)
    assert found.above.is_sure


def test_a_flat_rate_behind_a_bad_one_does_not_belong_to_the_valley() -> None:
    found = valley([near(1e-3, 0.1), near(1e-2, 0.2), near(1e-1, 0.1)])
    assert found is not None
    assert (found.low, found.high) == (1e-3, 1e-3)
    assert found.below is None


def test_a_cost_within_the_noise_is_not_sure() -> None:
    found = valley([near(1e-3, 0.1, 0.3, 0.2), near(1e-2, 0.4, 0.1, 0.3)])
    assert found is not None
    assert found.above is not None
    assert found.above.cost > 0.05
    assert not found.above.is_sure


def test_a_rate_that_lost_a_run_is_outside_and_a_wall() -> None:
    found = valley([near(1e-2, 0.1, 0.1), Near(0.018, 0.102, math.inf, {0: 0.1, 1: math.inf})])
    assert found is not None
    assert found.high == 1e-2
    assert list(close_walls(1e-2, None, found)) == [(0.018, "lost")]


def test_a_neighbour_of_twice_the_score_is_a_wall_only_where_it_is_near() -> None:
    found = valley([near(1e-2, 0.1, 0.1), near(0.018, 0.2, 0.21), near(0.032, 0.9, 0.9)])
    assert list(close_walls(1e-2, None, found)) == [(0.018, "worse")]


def test_one_rate_or_none_that_ended_shows_no_valley() -> None:
    assert valley([near(1e-2, 0.1)]) is None
    assert valley([near(1e-2, math.inf), near(1e-1, math.inf)]) is None


def test_older_answers_without_scores_have_costs_without_intervals() -> None:
    found = valley([Near(1e-3, 0.1, 0.2), Near(1e-2, 0.15, 0.2)])
    assert found is not None
    assert found.above is not None
    assert found.above.cost == pytest.approx(0.5)
    assert found.above.effect is None
    assert not found.above.is_sure


def test_losses_below_zero_cost_a_share_of_their_size() -> None:
    found = valley([Near(1e-3, -2.0, -1.9, {0: -2.0, 1: -2.0}), Near(1e-2, -1.0, -0.9, {0: -1.0, 1: -1.0})])
    assert found is not None
    assert found.above is not None
    assert found.above.cost == pytest.approx(0.5)
