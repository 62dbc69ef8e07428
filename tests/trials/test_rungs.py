"""Evaluations on the way, at which a hopeless trial is stopped."""

from __future__ import annotations

import math
from typing import Any

from preflight.trials.lab import never
from preflight.trials.outcome import (
    COMPLETED,
    PRUNED,
)


def test_a_hopeless_trial_is_stopped_at_a_rung(make_lab: Any, make_spec: Any, run: Any) -> None:
    asked = []

    def hopeless(steps_done: int, evaluation: Any) -> bool:
        asked.append((steps_done, evaluation.score))
        return steps_done == 6

    result = run(make_lab(), make_spec(rungs=4), hopeless=hopeless)
    assert [steps for steps, _ in asked] == [3, 6]
    assert (result.outcome.status, result.outcome.step, result.steps_done) == (PRUNED, 5, 6)
    assert result.outcome.reason == "hopeless after 6 of 12 steps"
    assert result.score == result.penalized == asked[-1][1]


def test_the_last_rung_is_not_asked_about(make_lab: Any, make_spec: Any, run: Any) -> None:
    asked = []

    def hopeless(steps_done: int, _: Any) -> bool:
        asked.append(steps_done)
        return False

    assert run(make_lab(), make_spec(rungs=3), hopeless=hopeless).outcome.status == COMPLETED
    assert asked == [4, 8]
    assert not never(1, None)  # type: ignore[arg-type]


def test_a_trial_without_rungs_is_not_evaluated(make_lab: Any, make_spec: Any, run: Any, table: Any) -> None:
    lab, spec = make_lab(), make_spec(rungs=0)
    result = run(lab, spec)
    assert result.outcome.status == COMPLETED and math.isnan(result.score) and result.losses == {}
    assert table(lab, spec, "losses.csv")["val_score"].isna().all()
