from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import NOTE, Clean, Finding, NotApplicable
from preflight.rules.pf603_step_outliers import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def facts(steps: list[float]) -> dict[str, object]:
    return {"loading": {"steps_s": steps}}


@pytest.mark.parametrize("slow", [1.0, 60.0])
def test_slow_steps_that_cost_are_noted(slow: float, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts([0.1, 0.1, 0.1, slow] * 3)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.step) == (NOTE, 3)
    assert answer.evidence[0].value == pytest.approx(slow / 0.1)


@pytest.mark.parametrize(
    "steps",
    [
        [0.1] * 12,
        [0.1, 0.3] * 6,
        [*[0.1] * 11, 9.0],  # once
        [0.001, 0.001, 0.035] * 4,  # a hiccup of the machine
        [0.1, 9.0, 9.0],  # too few to tell
    ],
)
def test_steps_that_vary_or_stumble_once_are_clean(steps: list[float], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(steps))) == Clean()


def test_what_was_not_timed_is_not_judged(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'loading'")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it keeps nothing
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-5, 10))
def test_ordinary_scatter_is_clean(recorded: Recorded, seed: int, scale: float) -> None:
    steps = scale * np.exp(0.3 * np.random.default_rng(seed).normal(size=12))
    assert RULE.judge(recorded(facts=facts(steps.tolist()))) == Clean()
