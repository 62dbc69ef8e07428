from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import ERROR, Clean, Finding, NotApplicable
from preflight.rules.pf509_metric_never_moves import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
SEEN = {"name": "top1", "goal": "maximize", "runs": 20, "lowest": 0.0, "highest": 0.0, "best": 0.4, "worst": 0.8}


def facts(**changes: Any) -> dict[str, Any]:
    return {"search": {"metric": {**SEEN, **changes}}}


@pytest.mark.parametrize(
    "changes", [{}, {"lowest": 0.1, "highest": 0.1, "worst": 1.0}, {"goal": "minimize", "worst": 1.2}]
)
def test_a_metric_that_does_not_see_what_was_learned_is_found(changes: dict[str, Any], recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(**changes)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "top1")
    assert "in all 20 runs" in answer.message


@pytest.mark.parametrize(
    "changes",
    [
        {"highest": 0.005},  # it moves
        {"best": 0.95},  # nothing was learned
        {"lowest": 1.0, "highest": 1.0, "best": 0.01, "worst": 0.1},  # all of them are right
        {"goal": "minimize"},  # an error of zero, where all have learned
    ],
)
def test_a_metric_that_may_be_right_is_clean(changes: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(**changes))) == Clean()


def test_few_runs_tell_nothing(recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(runs=4))) == NotApplicable(
        "4 runs of the search have a metric, and 5 are needed"
    )
    assert isinstance(RULE.judge(recorded(facts={"search": {}})), NotApplicable)
