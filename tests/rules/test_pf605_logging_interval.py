from __future__ import annotations

from collections.abc import Callable

import pytest

from preflight.core.finding import NOTE, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf605_logging_interval import RULE, spoken
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def facts(interval: int, horizon: int, seconds: float | None = None) -> dict[str, object]:
    found: dict[str, object] = {"logging": {"interval_steps": interval, "horizon_steps": horizon}}
    return found if seconds is None else {**found, "loading": {"wait_s": 0.9 * seconds, "compute_s": 0.1 * seconds}}


def test_an_interval_longer_than_the_run_logs_nothing(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(1000, 800)))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING
    assert "every 1000 steps, and the run has 800" in answer.message


def test_a_first_line_after_the_first_hour_is_noted_with_its_time(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(1000, 90_000, 5.2)))
    assert isinstance(answer, Finding)
    assert answer.severity == NOTE
    assert "at step 1000, after about 87 minutes" in answer.message
    assert answer.evidence[0].value == pytest.approx(5200)


@pytest.mark.parametrize(("interval", "seconds"), [(100, 5.2), (1000, None), (90_000, 0.01)])
def test_a_first_line_in_time_is_clean(interval: int, seconds: float | None, recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(interval, 90_000, seconds))) == Clean()


def test_an_interval_that_nobody_named_is_not_judged(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'logging'")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "3 seconds"), (600, "10 minutes"), (6100, "102 minutes"), (18720, "5.2 hours"), (743040, "8.6 days")],
)
def test_times_are_spoken_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert spoken(seconds) == text
