from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import ERROR, Answer, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.probes.schedule import _thinned
from preflight.rules.pf207_lr_not_as_planned import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
STEPS = 200
PLACES = np.arange(STEPS)
COSINE = 0.05 * (1 + np.cos(np.pi * PLACES / STEPS))
WARMUP = 0.1 * np.minimum(1, (PLACES + 1) / 160)
RESTARTS = 0.05 * (1 + np.cos(np.pi * (PLACES % 7) / 7))


def facts(plan: np.ndarray, **changes: Any) -> dict[str, Any]:
    points = [[int(step), float(lr)] for step, lr in enumerate(plan)]
    found = {"kind": "LambdaLR", "unit": "step", "steps": STEPS, "lr": 0.1, "warmup_fraction": 0.0, "peak": plan.max()}
    return {"schedule": {**found, "applied": points, "groups": [{"ratio": 1.0, "peak": 0.1}], "error": None, **changes}}


@pytest.mark.parametrize("plan", [COSINE, WARMUP, RESTARTS, np.full(STEPS, 0.1)])
@pytest.mark.parametrize("length", [STEPS, 50])
def test_what_is_planned_is_applied(plan: np.ndarray, length: int, recorded: Recorded) -> None:
    applied = [float(part.mean()) for part in np.array_split(plan, length)]
    found = recorded(facts=facts(plan), info={"steps": length}, learning_rates={"lr_group0": applied})
    assert RULE.judge(found) == Clean()


def test_another_rate_is_the_same_plan(recorded: Recorded) -> None:
    params = Params(lr=0.3, batch_size=8)
    assert RULE.judge(recorded(params, facts=facts(COSINE), learning_rates={"lr_group0": 3 * COSINE})) == Clean()


@pytest.mark.parametrize("speed", [2, 4, 8])
def test_a_warmup_that_is_advanced_with_every_accumulated_batch(speed: int, recorded: Recorded) -> None:
    """As in Lightning #1476: 16,000 steps of warmup were over after a fraction of that."""
    applied = 0.1 * np.minimum(1, (speed * PLACES + 1) / 160)
    answer = RULE.judge(recorded(facts=facts(WARMUP), learning_rates={"lr_group0": applied}))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert f"it runs {speed} times as fast as planned" in answer.message
    assert "once per optimizer step" in answer.remedies[0].text


def test_a_rate_that_never_moves(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(COSINE), learning_rates={"lr_group0": [0.1] * STEPS}))
    assert isinstance(answer, Finding)
    assert "times as fast" not in answer.message
    assert answer.step == STEPS - 1


def test_a_run_that_was_cut_off_is_compared_as_far_as_it_came(recorded: Recorded) -> None:
    found = recorded(facts=facts(COSINE), info={"steps": STEPS}, learning_rates={"lr_group0": COSINE[:40]})
    assert RULE.judge(found) == Clean()


@pytest.mark.parametrize(
    ("params", "info"),
    [
        (Params(0.1, 8), {"schedule": "constant"}),  # of the ladder
        (Params(0.1, 8, warmup_fraction=0.3), {"schedule": "own"}),
    ],
)
def test_a_run_that_was_meant_to_be_another_is_not_compared(
    params: Params, info: dict[str, Any], recorded: Recorded
) -> None:
    found = recorded(params, facts=facts(COSINE), info=info, learning_rates={"lr_group0": [0.1] * STEPS})
    assert RULE.judge(found) == Clean()


def test_a_scheduler_that_gives_up(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(COSINE, error="ValueError: Tried to step 51 times", length=50)))
    assert isinstance(answer, Finding)
    assert answer.message.endswith("to the end of the run: ValueError: Tried to step 51 times")


def test_a_rate_of_zero_for_the_whole_run(recorded: Recorded) -> None:
    """As by a factor of ``step // 1000`` in a run of 100 steps."""
    zeros = np.zeros(STEPS)
    answer = RULE.judge(recorded(facts=facts(zeros), learning_rates={"lr_group0": zeros}))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert "keeps the learning rate at 0" in answer.message
    assert "PF202" in answer.explains


def test_what_is_missing_is_said(recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(COSINE))) == NotApplicable("there is no learning_rates.csv")
    answer = RULE.judge(recorded(learning_rates={"lr_group0": COSINE}))
    assert answer == NotApplicable("no probe has looked at 'schedule'")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it keeps nothing
@given(share=st.floats(0.02, 0.5), length=st.integers(20, 400), decay=st.booleans())
def test_rounding_a_warmup_to_a_short_run_is_no_departure(
    recorded: Recorded, share: float, length: int, decay: bool
) -> None:
    def curve(steps: int) -> np.ndarray:
        places, warm = np.arange(steps), max(1, round(share * steps))
        after = 1 - (places - warm) / (steps - warm) if decay else 1.0
        return 0.1 * np.where(places < warm, (places + 1) / warm, after)

    found = recorded(facts=facts(curve(STEPS)), info={"steps": length}, learning_rates={"lr_group0": curve(length)})
    assert RULE.judge(found) == Clean()


def cosine(steps: int) -> np.ndarray:
    return 0.05 * (1 + np.cos(np.pi * np.arange(steps + 1) / steps))


def one_cycle(steps: int) -> np.ndarray:
    return 0.1 * np.interp(np.arange(steps + 1), [0, 0.3 * steps, steps], [0.04, 1.0, 0.0])


def stairs(steps: int) -> np.ndarray:
    return 0.1 * 0.3 ** (np.arange(steps + 1) // max(1, steps // 4))


def warmup_then_line(steps: int) -> np.ndarray:
    return 0.1 * np.interp(np.arange(steps + 1), [0, 0.1 * steps, steps], [0.01, 1.0, 0.0])


def followed(plan: np.ndarray, applied: np.ndarray, recorded: Recorded) -> Answer:
    """The answer on a run of a plan that was thinned as the probe thins it."""
    steps = len(plan) - 1
    known = facts(plan, steps=steps, applied=_thinned(plan))
    return RULE.judge(recorded(facts=known, info={"steps": steps}, learning_rates={"lr_group0": applied}))


@pytest.mark.parametrize("curve", [cosine, one_cycle, stairs, warmup_then_line])
def test_a_plan_that_is_followed_is_clean_at_any_horizon(
    curve: Callable[[int], np.ndarray], recorded: Recorded
) -> None:
    """Parts of a thinned plan differ by a step: where the run has 300 steps, half as many again stand for the first."""
    found = [n for n in range(2, 2001) if followed(curve(n), curve(n)[:-1], recorded) != Clean()]
    assert not found


@pytest.mark.parametrize("curve", [cosine, one_cycle, stairs, warmup_then_line])
@pytest.mark.parametrize("other", [cosine, one_cycle, stairs, lambda steps: np.full(steps + 1, 0.1)])
def test_another_schedule_is_found_at_any_horizon(
    curve: Callable[[int], np.ndarray], other: Callable[[int], np.ndarray], recorded: Recorded
) -> None:
    if curve is other:
        return
    missed = [n for n in range(20, 2001, 7) if followed(curve(n), other(n)[:-1], recorded) == Clean()]
    assert not missed


@pytest.mark.parametrize("steps", [260, 300, 3000])
def test_the_place_it_names_compares_like_with_like(steps: int, recorded: Recorded) -> None:
    """The rates that the message gives are those of the curves there, and lie as far apart as any."""
    plan = cosine(steps)
    applied = np.interp(2 * np.arange(steps), np.arange(steps + 1), plan)
    answer = followed(plan, applied, recorded)
    assert isinstance(answer, Finding)
    assert answer.step == pytest.approx(np.argmax(plan[:-1] - applied), abs=0.02 * steps)
    said = [float(number) for number in re.findall(r"(?:it is|average|planned) ([\d.e-]+\d)", answer.message)]
    assert said == pytest.approx([applied[answer.step], plan[answer.step]], abs=0.002)
