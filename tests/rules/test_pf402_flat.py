from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules.pf402_flat import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def noisy(start: float, end: float, noise: float, steps: int = 200) -> np.ndarray:
    return np.linspace(start, end, steps) + noise * np.random.default_rng(1).normal(size=steps)


@pytest.mark.parametrize("losses", [noisy(2.3, 2.3, 0.01), noisy(2.3, 2.299, 0.0), noisy(3e5, 2.999e5, 100.0)])
def test_a_loss_that_goes_nowhere_is_found(losses: np.ndarray, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(losses={"total": losses}))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING


def test_a_loss_that_is_zero_from_the_start_asks_nothing(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(losses={"total": np.zeros(200)}))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert "asks nothing" in answer.message


def test_a_loss_that_comes_to_zero_is_learned(recorded: Recorded) -> None:
    assert RULE.judge(recorded(losses={"total": np.maximum(0.0, noisy(0.5, -0.5, 0.01))})) == Clean()
    late = np.concatenate([np.zeros(50), np.full(150, 0.1)])
    assert RULE.judge(recorded(losses={"total": late})) == Clean()


@pytest.mark.parametrize(
    "losses",
    [
        noisy(2.3, 1.0, 0.1),
        noisy(2.3, 2.2, 0.01),  # slow
        noisy(2.3, 2.3, 1.0),  # the noise may hide a fall
        noisy(18.52, 18.39, 0.01),  # self-supervised, early
        np.concatenate([[9.0] * 5, noisy(2.3, 2.3, 0.01)]),  # fell, then rests
        noisy(2.3, 9.0, 0.1),
        np.full(200, np.nan),
    ],
)
def test_what_moves_or_cannot_be_told_is_not_found(losses: np.ndarray, recorded: Recorded) -> None:
    assert not isinstance(RULE.judge(recorded(losses={"total": losses})), Finding)


def test_what_validation_shows_to_fall_is_clean(recorded: Recorded) -> None:
    score = np.full(200, np.nan)
    score[19::20] = np.linspace(1.0, 0.8, 10)
    assert RULE.judge(recorded(losses={"total": noisy(2.3, 2.3, 0.01), "val_score": score})) == Clean()


def test_weights_that_were_trained_before_may_rest(recorded: Recorded) -> None:
    facts = {"losses": {"ce": {"constant": 2.3, "weight": 1.0}}}
    assert RULE.judge(recorded(facts=facts, losses={"total": noisy(0.3, 0.3, 0.001)})) == Clean()


def test_a_recording_of_warmup_alone_is_clean(recorded: Recorded) -> None:
    lrs = {"lr_group0": np.linspace(0.0, 1e-4, 200)}
    params = Params(lr=1e-2, batch_size=8)
    assert RULE.judge(recorded(params, losses={"total": noisy(2, 2, 0.01)}, learning_rates=lrs)) == Clean()


def test_the_reason_is_given_where_it_is_recorded(recorded: Recorded) -> None:
    losses = {"total": noisy(2.3, 2.3, 0.01)}
    still = RULE.judge(recorded(losses=losses, gradient_norms={"overall": np.zeros(200)}))
    assert isinstance(still, Finding) and still.severity == ERROR and "gradient is zero" in still.message
    moved = {"update_total": [1e-5, 2e-5], "first_weight_norm": [1.0, 2.0]}
    steady = {"gradient_norms": {"overall": np.ones(200)}, "learning_rates": {"lr_group0": np.full(200, 1e-7)}}
    tiny = RULE.judge(recorded(Params(lr=1e-7, batch_size=8), losses=losses, parameters=moved, **steady))
    assert isinstance(tiny, Finding) and "moved the weights by 1e-05" in tiny.message
    assert tiny.remedies[0].settings == {"lr": pytest.approx(1e-6)}


def test_a_short_recording_cannot_be_judged(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(losses={"total": np.full(99, 2.3)}))
    assert answer == NotApplicable("99 steps are too few to tell: it takes 100")
    assert RULE.judge(recorded(losses={"a": [1.0]})) == NotApplicable("losses.csv has no column 'total'")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scale=st.floats(1e-6, 1e6), end=st.sampled_from([1.0, 0.5]))
def test_the_unit_of_the_loss_does_not_matter(recorded: Recorded, scale: float, end: float) -> None:
    answer = RULE.judge(recorded(losses={"total": scale * noisy(1.0, end, 0.005)}))
    assert isinstance(answer, Finding) == (end == 1.0)
