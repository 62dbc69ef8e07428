from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from preflight.search.engines.patience import LEAST_S, TIMES, Patience, Waiting
from preflight.trials.outcome import COMPLETED, CRASHED, Outcome, Result


def result(seconds: float, status: str = COMPLETED) -> Result:
    return Result(Outcome(status), 0.5, 0.5, {}, 10, seconds)


def test_without_a_trial_that_completed_there_is_no_limit(make_spec: Any) -> None:
    patience = Patience()
    assert patience.limit_s(make_spec(0)) == math.inf
    patience.learn(make_spec(0), result(0.1, CRASHED))
    assert patience.limit_s(make_spec(0)) == math.inf


def test_the_typical_pace_counts_whatever_a_worker_took_to_start(make_spec: Any) -> None:
    patience, spec = Patience(), make_spec(0)
    for seconds in (300.0, 10.0, 20.0):
        patience.learn(spec, result(seconds))
    assert patience.limit_s(spec) == pytest.approx(LEAST_S + TIMES * 20.0)


def test_quick_trials_get_some_time_at_least(make_spec: Any) -> None:
    patience, spec = Patience(), make_spec(0)
    patience.learn(spec, result(1e-3))
    assert patience.limit_s(spec) == pytest.approx(LEAST_S, abs=1.0)


def test_a_worker_that_has_to_fetch_what_others_have_kept_is_waited_for(make_spec: Any) -> None:
    patience, spec = Patience(), make_spec(0)
    patience.learn(spec, replace(result(1.0), spared_s=39.0))
    assert patience.limit_s(spec) == pytest.approx(LEAST_S + TIMES * 40.0)


def test_a_pause_of_the_whole_program_counts_as_one_look() -> None:
    waiting = Waiting(100.0)
    assert waiting.go_on(101.0, most=2.0) == 1.0
    assert waiting.go_on(4000.0, most=2.0) == 3.0
    assert waiting.go_on(4001.0, most=2.0) == 4.0
