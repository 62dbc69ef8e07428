from __future__ import annotations

from collections.abc import Callable

import pytest

from preflight.core.finding import NOTE, Clean, Finding, NotApplicable
from preflight.rules.pf606_projected_time import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def facts(steps: int, wait: float, compute: float) -> dict[str, object]:
    return {"schedule": {"steps": steps}, "loading": {"wait_s": wait, "compute_s": compute}}


def test_a_run_of_days_is_noted(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(90_000, 4.9, 0.3)))
    assert isinstance(answer, Finding)
    assert answer.severity == NOTE
    assert "90000 steps of 5.2 s take about 5.4 days" in answer.message


@pytest.mark.parametrize("steps", [1, 16_000])
def test_a_run_of_hours_is_clean(steps: int, recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(steps, 4.9, 0.3))) == Clean()


def test_both_parts_have_to_be_known(recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts={"schedule": {"steps": 10}})) == NotApplicable("no probe has looked at 'loading'")
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'schedule'")
