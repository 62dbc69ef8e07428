from __future__ import annotations

import math

import pytest

from preflight.advise.evidence import effect
from preflight.advise.recommendation import Measured
from preflight.report.typical import GEOMETRIC_MEAN, MEAN, typical, typical_metric

BEFORE = {0: 0.9, 1: 1.0, 2: 4.0, 3: 0.02, 4: 0.7}


def measured(scores: dict[int, float], metrics: dict[int, float] | None = None) -> Measured:
    return Measured(scores, metrics or {})


def test_the_ratio_of_typical_scores_is_the_gain() -> None:
    after = {0: 0.1, 1: 0.3, 2: 0.2, 3: 0.05, 4: 0.0}
    found = typical(measured(BEFORE), measured(after))
    before, rest = found.scores
    assert (found.statistic, found.seeds) == (GEOMETRIC_MEAN, 5)
    assert 1 - rest / before == pytest.approx(effect(BEFORE, after).gain)


def test_below_zero_the_difference_of_typical_scores_is_the_gain() -> None:
    after = {seed: score - 5 for seed, score in BEFORE.items()}
    found = typical(measured(BEFORE), measured(after))
    size = sum(map(abs, BEFORE.values())) / len(BEFORE)
    assert found.statistic == MEAN
    assert (found.scores[0] - found.scores[1]) / size == pytest.approx(effect(BEFORE, after).gain)


def test_what_was_cut_for_the_gain_is_said() -> None:
    found = typical(measured({0: 24.0, 1: 24.5}), measured({0: 0.1, 1: 0.1}))
    assert found.scores == pytest.approx((10.0, 0.1))
    assert found.of("2 seeds") == "geometric mean of 2 seeds, none counted above 10"
    assert typical(measured({0: math.inf, 1: 0.5})).ceiling == 10.0
    assert typical(measured(BEFORE)).of("5 seeds") == "geometric mean of 5 seeds"


def test_a_metric_is_the_mean_of_the_seeds_that_have_one() -> None:
    assert typical_metric(measured({}, {0: 0.5, 1: math.nan, 2: 1.0})) == 0.75
    assert math.isnan(typical_metric(measured({}, {0: math.nan})))


def test_without_seeds_nothing_is_typical() -> None:
    assert math.isnan(typical(measured({})).scores[0])
