from __future__ import annotations

import math

import pytest

from preflight.trials.outcome import (
    COMPLETED,
    CRASHED,
    DIVERGED,
    INTERRUPTED,
    OUT_OF_MEMORY,
    PRUNED,
    WORST_SCORE,
    Outcome,
    Result,
)


def penalized(status: str, score: float) -> float:
    return Result(Outcome(status), score, math.nan, {}, 3, 0.1).penalized


@pytest.mark.parametrize("status", [COMPLETED, PRUNED])
def test_a_score_counts_up_to_the_worst_there_is(status: str) -> None:
    assert penalized(status, 0.3) == 0.3
    assert penalized(status, -2.0) == -2.0
    assert penalized(status, 1e9) == WORST_SCORE
    assert penalized(status, math.nan) == WORST_SCORE


@pytest.mark.parametrize("status", [DIVERGED, OUT_OF_MEMORY, CRASHED, INTERRUPTED])
def test_a_trial_that_failed_counts_as_the_worst_whatever_it_scored_before(status: str) -> None:
    assert penalized(status, 0.3) == WORST_SCORE


def test_an_outcome_is_written_with_the_fields_that_are_set() -> None:
    outcome = Outcome(DIVERGED, "the loss is not finite", step=0, batch=0, culprit="mse")
    expected = {"status": DIVERGED, "reason": "the loss is not finite", "step": 0, "batch": 0, "culprit": "mse"}
    assert outcome.as_dict() == expected
    assert Outcome(COMPLETED).as_dict() == {"status": COMPLETED}
