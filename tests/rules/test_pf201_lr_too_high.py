from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules.pf201_lr_too_high import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
NOISE = np.random.default_rng(0).normal(size=100)
LEARNS = np.exp(-np.arange(100) / 30) + 0.02 * NOISE
TODAY = Params(lr=0.1, batch_size=8)
FLAT = 2.3 + 0.02 * NOISE


def weights(moved: float) -> dict[str, Any]:
    """Tables of a run whose first recorded steps move the weights by so many times their norm."""
    return {
        "parameters": {"name": ["a", "b"], "component": ["body", "head"], "first_weight_norm": [3.0, 4.0]},
        "weight_deltas": {"body_delta": [4.0 * moved, 0.0], "head_delta": [3.0 * moved, 0.0]},
    }


def ladder(best: float, own: str, final: float = 0.3, at: float = 0.1) -> dict[str, Any]:
    rungs = [{"lr": best, "verdict": "best", "final_loss": final}, {"lr": at, "verdict": own, "final_loss": 2.0}]
    return {"ladders": {"inputs as they are": rungs}}


@pytest.mark.parametrize(
    ("best", "own", "is_found"), [(0.01, "explodes", True), (0.05, "explodes", False), (0.01, "stable", False)]
)
def test_a_jump_in_the_first_steps_at_a_rate_that_the_ladder_broke_on(
    best: float, own: str, is_found: bool, recorded: Recorded
) -> None:
    """It recovers, and ends below short runs at a constant rate: without the ladder a warmup would be advised."""
    losses = LEARNS.copy()
    losses[1] = 100 * losses[0]
    answer = RULE.judge(recorded(TODAY, facts=ladder(best, own), losses={"total": losses}))
    assert isinstance(answer, Finding) == is_found
    if isinstance(answer, Finding):
        assert "jumps to 100 times its first value at step 1" in answer.message
        assert answer.remedies[0].settings["lr"] <= best


@pytest.mark.parametrize(
    "losses",
    [
        np.concatenate([LEARNS[:20], 10.0 + NOISE[:80]]),
        -5 + np.concatenate([LEARNS[:20], 100.0 + NOISE[:80]]),
        1 + 0.02 * np.arange(100) + 0.1 * NOISE,
    ],
)
def test_a_loss_that_runs_away_or_rises(losses: np.ndarray, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(TODAY, losses={"total": losses}))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert answer.remedies[0].settings == {"lr": pytest.approx(0.01)}
    assert answer.strength >= 1


def test_a_run_that_breaks_after_its_gradient_grew(recorded: Recorded) -> None:
    norms = np.concatenate([np.geomspace(1, 1e4, 30), [np.nan] * 5])
    losses = np.concatenate([np.geomspace(1, 1e3, 30), [np.nan] * 5])
    answer = RULE.judge(recorded(TODAY, losses={"total": losses}, gradient_norms={"overall": norms}))
    assert isinstance(answer, Finding)
    assert answer.step == 30
    calm = np.concatenate([LEARNS[:30], [np.nan] * 5])
    steady = recorded(TODAY, losses={"total": calm}, gradient_norms={"overall": np.where(np.isnan(calm), np.nan, 1.0)})
    assert RULE.judge(steady) == Clean()  # a bad sample
    first = recorded(TODAY, losses={"total": [np.nan] * 30}, gradient_norms={"overall": [np.nan] * 30})
    assert RULE.judge(first) == Clean()  # broken before any step


def test_a_gradient_that_breaks_in_one_step_has_not_grown(recorded: Recorded) -> None:
    calm = np.concatenate([LEARNS[:30], [np.nan] * 5])
    norms = np.concatenate([np.ones(29), [np.inf], [np.nan] * 5])  # the square root of zero, a step before the loss
    assert RULE.judge(recorded(TODAY, losses={"total": calm}, gradient_norms={"overall": norms})) == Clean()


def test_where_norms_are_too_large_for_their_type_the_loss_tells_of_the_growth(recorded: Recorded) -> None:
    losses, norms = [2.0, 3e9, 8e36, np.nan], [4.0, 7e22, np.inf, np.nan]
    answer = RULE.judge(recorded(TODAY, losses={"total": losses}, gradient_norms={"overall": norms}))
    assert isinstance(answer, Finding)
    assert answer.message == "the run diverges: the loss grows 4e+36 times, and the loss is not finite at step 3"


@pytest.mark.parametrize("moved", [1.5, 14.0, 1e5])
def test_weights_that_are_thrown_about_for_nothing(moved: float, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(TODAY, losses={"total": FLAT}, **weights(moved)))
    assert isinstance(answer, Finding)
    assert answer.evidence[0].value == pytest.approx(moved)


@pytest.mark.parametrize(
    ("last", "told"), [(1.03, "no better than its"), (0.98, "hardly better than its first value of 1, by less than 5%")]
)
def test_a_loss_that_ends_a_bit_lower_is_not_said_to_be_no_better(last: float, told: str, recorded: Recorded) -> None:
    losses = [1.0, *[last] * 99]
    answer = RULE.judge(recorded(TODAY, losses={"total": losses}, **weights(5.0)))
    assert isinstance(answer, Finding)
    assert told in answer.message


@pytest.mark.parametrize(("peak", "score", "is_found"), [(60.0, 2.0, True), (60.0, 0.4, False), (2.4, 2.0, False)])
def test_a_jump_after_which_only_the_training_data_is_learned(
    peak: float, score: float, is_found: bool, recorded: Recorded
) -> None:
    losses = np.concatenate([[2.3, peak, peak / 2], np.geomspace(2.3, 1e-4, 97)])
    run = recorded(TODAY, info={"score": score}, losses={"total": losses}, **weights(5.0))
    assert isinstance(RULE.judge(run), Finding) is is_found


@pytest.mark.parametrize(("losses", "moved"), [(FLAT, 0.5), (LEARNS, 5.0), (LEARNS, 0.01)])
def test_large_steps_that_learn_and_small_ones_that_do_not_are_no_fault_of_the_rate(
    losses: np.ndarray, moved: float, recorded: Recorded
) -> None:
    assert RULE.judge(recorded(TODAY, losses={"total": losses}, **weights(moved))) == Clean()


@pytest.mark.parametrize("verdict", ["explodes", "too high", "unsteady"])
def test_a_run_that_ends_above_short_runs_at_a_lower_rate(verdict: str, recorded: Recorded) -> None:
    facts = ladder(0.01, verdict, final=0.01)
    answer = RULE.judge(recorded(TODAY, facts=facts, losses={"total": LEARNS + 0.3}))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING
    assert answer.remedies[0].settings == {"lr": pytest.approx(0.01 / np.sqrt(10))}  # the next rung breaks
    assert "lr=0.01" in answer.message


@pytest.mark.parametrize(
    ("best", "own", "severity"), [(0.06, "too high", ERROR), (0.06, "stable", None), (0.2, "too high", None)]
)
def test_a_run_that_learns_nothing_just_above_a_rate_that_learns(
    best: float, own: str, severity: str | None, recorded: Recorded
) -> None:
    answer = RULE.judge(recorded(TODAY, facts=ladder(best, own), losses={"total": FLAT}))
    assert (answer.severity if isinstance(answer, Finding) else None) == severity


@pytest.mark.parametrize(
    "facts",
    [
        {},
        ladder(0.01, "stable", final=0.01),
        ladder(0.05, "explodes", final=0.01),  # within half a decade
        ladder(0.01, "explodes", final=0.5),  # its warmup and decay do better than any constant rate
        ladder(0.01, "explodes", final=0.01, at=0.3),  # this rate was not tried
        ladder(1.0, "explodes", final=0.01),
        {"ladders": {"input: standardize": ladder(0.01, "explodes", 0.01)["ladders"]["inputs as they are"]}},
    ],
)
def test_a_ladder_that_says_nothing_of_this_rate_is_no_evidence(facts: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(TODAY, facts=facts, losses={"total": LEARNS + 0.3})) == Clean()


@pytest.mark.parametrize(
    "losses",
    [
        LEARNS,
        FLAT,
        np.abs(NOISE) + 1,
        np.where(np.arange(100) == 50, 100.0, LEARNS),  # a spike
        -np.arange(100) / 10 + NOISE,
        np.concatenate([np.linspace(1, 3, 10), LEARNS[:90]]),  # a bump at the start
    ],
)
def test_what_learns_or_only_makes_noise_is_clean(losses: np.ndarray, recorded: Recorded) -> None:
    assert RULE.judge(recorded(TODAY, losses={"total": losses})) == Clean()


def test_too_few_rows_are_not_clean(recorded: Recorded, foreign: Recorded) -> None:
    missing = NotApplicable("losses.csv has 3 rows, 20 are needed")
    assert RULE.judge(recorded(TODAY, losses={"total": [5.0, 50.0, 500.0]})) == missing
    missing = NotApplicable("weight_deltas.csv has 3 rows, 20 are needed")
    assert RULE.judge(foreign(weight_deltas={"body_delta": [1.0, 9.0, 1.0]})) == missing


def test_without_losses_there_is_nothing_to_judge(recorded: Recorded) -> None:
    assert RULE.judge(recorded(TODAY)) == NotApplicable("there is no losses.csv")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it keeps nothing
@given(seed=st.integers(0, 10**6), level=st.floats(0.1, 10), scale=st.floats(1e-3, 1e3))
def test_noise_around_a_level_is_never_a_rise(recorded: Recorded, seed: int, level: float, scale: float) -> None:
    noise = np.exp(0.1 * np.random.default_rng(seed).normal(size=60))
    assert RULE.judge(recorded(TODAY, losses={"total": scale * level * noise})) == Clean()


RELAPSE = np.concatenate([LEARNS[:60], np.linspace(0.2, 0.6, 40)]) + 0.02 * NOISE


@pytest.mark.parametrize(
    ("losses", "best", "is_found"),
    [
        (RELAPSE, 0.05, True),
        (RELAPSE, 0.1, False),  # at the best rate something else is at work
        (np.concatenate([RELAPSE, LEARNS[60:]]), 0.05, False),  # it comes down again
        (LEARNS + 0.2 * NOISE, 0.05, False),
    ],
)
def test_a_loss_that_gives_back_what_it_gained_above_the_best_rate(
    losses: np.ndarray, best: float, is_found: bool, recorded: Recorded
) -> None:
    answer = RULE.judge(recorded(TODAY, facts=ladder(best, "stable"), losses={"total": losses}))
    assert isinstance(answer, Finding) == is_found
    assert not is_found or (answer.severity, "rises again" in answer.message) == (WARNING, True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(seed=st.integers(0, 10**6), noise=st.floats(0.01, 0.5))
def test_noise_after_a_fall_is_no_relapse(recorded: Recorded, seed: int, noise: float) -> None:
    seeds = np.random.default_rng(seed).normal(size=(5, 100))
    runs = 1 + np.exp(-np.arange(100) / 10) + noise * seeds
    found = [RULE.judge(recorded(TODAY, facts=ladder(0.05, "stable"), losses={"total": run})) for run in runs]
    assert sum(isinstance(answer, Finding) for answer in found) <= 2  # of five seeds, and most are needed


def test_without_losses_changes_that_swing_are_told(foreign: Recorded) -> None:
    swings = 0.01 * np.where(np.arange(60) % 2, 10, 0.1)
    answer = RULE.judge(foreign(weight_deltas={"body_delta": swings, "head_delta": np.ones(60)}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "body")


@pytest.mark.parametrize(
    "changes",
    [
        np.exp(np.random.default_rng(0).normal(0, 2, 300)),  # noise
        np.where(np.arange(60) % 2, 1.0, 0.5),  # small swings
        np.where(np.arange(60) % 2, 1.0, 0.0),  # moved at every second row
        np.exp(3 * np.sin(np.arange(300) / 10)),  # a cyclic rate
    ],
)
def test_changes_that_do_not_swing(changes: np.ndarray, foreign: Recorded) -> None:
    assert RULE.judge(foreign(weight_deltas={"body_delta": changes})) == Clean()


def test_of_another_tool_an_empty_loss_is_no_divergence(foreign: Recorded) -> None:
    losses = np.where(np.arange(300) % 10, np.nan, np.linspace(2, 1, 300))
    assert RULE.judge(foreign(losses={"total": losses}, gradient_norms={"overall": np.ones(300)})) == Clean()
