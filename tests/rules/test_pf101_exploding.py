from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import ERROR, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules.components import overall_norms
from preflight.rules.pf101_exploding import GROWTH, RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
STEADY = np.exp(0.5 * np.random.default_rng(0).normal(size=100))


@pytest.mark.parametrize("growth", [1.5, 10, 1e6])
def test_a_norm_that_rises_far_above_its_early_level_explodes(growth: float, recorded: Recorded) -> None:
    norms = np.where(np.arange(100) < 60, 1.0, growth * GROWTH.value)
    answer = RULE.judge(recorded(Params(lr=0.1, batch_size=8), gradient_norms={"overall": norms}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.step) == (ERROR, 60)
    assert answer.strength == pytest.approx(growth)
    assert [remedy.settings for remedy in answer.remedies] == [{"lr": pytest.approx(0.01)}, {"clip_norm": 2.0}]


def test_the_component_that_grew_most_is_named(recorded: Recorded) -> None:
    head = np.where(np.arange(100) < 90, 0.01, 5000.0)
    body = np.where(np.arange(100) < 90, 50.0, 8000.0)
    norms = {"overall": np.where(np.arange(100) < 90, 1.0, 9434.0), "body": body, "head": head}
    answer = RULE.judge(recorded(gradient_norms=norms))
    assert isinstance(answer, Finding)
    assert (answer.where, answer.severity) == ("head", ERROR)
    assert answer.remedies[0].settings == {}
    parameters = {
        "name": ["head.weight", "head.bias", "head.scale", "body.weight"],
        "component": ["head", "head", "head", "body"],
        "max_gradient_norm": [4990.0, 300.0, 6000.0, 8000.0],
        "max_step": [95, 95, 3, 95],  # that of head.scale was before it
    }
    answer = RULE.judge(recorded(gradient_norms=norms, parameters=parameters))
    assert isinstance(answer, Finding)
    assert answer.message.endswith("at step 90, most in 'head', largest in 'head.weight'")


@pytest.mark.parametrize(
    "norms",
    [
        STEADY,
        1000 * STEADY,  # large and healthy
        np.where(np.arange(100) == 50, 1e5, STEADY),  # a spike
        np.concatenate([np.zeros(5), STEADY]),  # a head that starts at zero
        np.linspace(1, 100, 100),
    ],
)
def test_what_does_not_explode_is_clean(norms: np.ndarray, recorded: Recorded) -> None:
    assert RULE.judge(recorded(gradient_norms={"overall": norms})) == Clean()


def test_too_few_rows_are_not_clean(recorded: Recorded, foreign: Recorded) -> None:
    missing = NotApplicable("gradient_norms.csv has 5 rows, 20 are needed")
    for make in (recorded, foreign):
        assert RULE.judge(make(gradient_norms={"overall": np.full(5, 1e9)})) == missing
    missing = NotApplicable("gradient_norms.csv has 3 rows, 20 are needed")
    assert RULE.judge(foreign(gradient_norms={"overall": [1.0, 1.0, np.inf]})) == missing
    asked = foreign(gradient_norms={"overall": np.ones(5)}, facts={"limits": {"norm_above": 10.0}})
    assert RULE.judge(asked) == Clean()  # a mean is a mean


def test_a_norm_that_was_never_finite_is_no_growth(recorded: Recorded) -> None:
    assert RULE.judge(recorded(gradient_norms={"overall": [np.inf] * 30})) == Clean()


def test_without_norms_there_is_nothing_to_judge(recorded: Recorded) -> None:
    assert RULE.judge(recorded(losses={"total": [1.0]})) == NotApplicable("there is no gradient_norms.csv")
    answer = RULE.judge(recorded(gradient_norms={"seconds": [1.0]}))
    assert answer == NotApplicable("gradient_norms.csv has no column 'overall'")


def test_the_norm_of_the_whole_is_that_of_its_parts_where_it_was_not_recorded(recorded: Recorded) -> None:
    head = np.where(np.arange(100) < 90, 4.0, 40_000.0)
    parts = recorded(gradient_norms={"body": [3.0] * 100, "head": head})
    assert overall_norms(parts).values[0] == pytest.approx(5.0)
    answer = RULE.judge(parts)
    assert isinstance(answer, Finding)
    assert answer.where == "head"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it keeps nothing
@given(scale=st.floats(1e-6, 1e6), end=st.sampled_from([1.0, 3e3]))
def test_the_unit_of_the_loss_does_not_matter(recorded: Recorded, scale: float, end: float) -> None:
    norms = scale * np.where(np.arange(100) < 60, 1.0, end)
    answer = RULE.judge(recorded(gradient_norms={"overall": norms}))
    assert isinstance(answer, Finding) == (end > GROWTH.value)


def test_an_explosion_within_the_first_steps_is_no_measure_of_itself(recorded: Recorded) -> None:
    norms = np.where(np.arange(100) < 1, 1.0, 1e5)
    answer = RULE.judge(recorded(gradient_norms={"overall": norms}, losses={"total": np.where(norms > 1, 1e3, 2.3)}))
    assert isinstance(answer, Finding)
    assert answer.step == 1


def test_an_explosion_that_leaves_dead_units_is_one_although_it_is_short(recorded: Recorded) -> None:
    norms = np.select([np.arange(300) < 30, np.arange(300) < 34], [1.0, 1e7], 0.0)
    assert isinstance(RULE.judge(recorded(gradient_norms={"overall": norms})), Finding)


@pytest.mark.parametrize(("late", "is_clean"), [(0.1, True), (2.0, True), (2.4, False), (1e3, False)])
def test_gradients_that_grow_as_the_network_leaves_a_plateau_are_clean(
    late: float, is_clean: bool, recorded: Recorded
) -> None:
    norms = np.where(np.arange(100) < 50, 1e-5, 1.0)
    losses = np.where(np.arange(100) < 50, 2.3, late)
    answer = RULE.judge(recorded(gradient_norms={"overall": norms}, losses={"total": losses}))
    assert (answer == Clean()) == is_clean


@pytest.mark.parametrize("last", [3, 5])
@pytest.mark.parametrize("end", [[], [np.inf]])
def test_a_run_whose_end_explodes_is_no_spike(last: int, end: list[float], recorded: Recorded) -> None:
    norms = np.concatenate([np.ones(300 - last), np.full(last, 1e4), end])
    answer = RULE.judge(recorded(gradient_norms={"overall": norms}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.step) == (ERROR, 300 - last)


@pytest.mark.parametrize("spike", [[1e4, 1e4], [1e4, 1e4, 1e4, 1e4, 1.0]])
def test_a_spike_near_the_end_is_one(spike: list[float], recorded: Recorded) -> None:
    assert RULE.judge(recorded(gradient_norms={"overall": np.concatenate([np.ones(300), spike])})) == Clean()


def test_an_empty_cell_hides_no_explosion_and_steps_are_those_of_the_file(foreign: Recorded) -> None:
    norms = np.where(np.arange(100) < 60, 1.0, 1e4)
    norms[5] = np.nan
    columns = {"overall": norms, "body": norms, "seconds": 1e9 * norms}
    answer = RULE.judge(foreign(gradient_norms={"step": 50 * np.arange(100), **columns}))
    assert isinstance(answer, Finding)
    assert (answer.step, answer.where) == (3000, "body")
    assert "at step 3000" in answer.message
    answer = RULE.judge(foreign(gradient_norms=columns))
    assert isinstance(answer, Finding)
    assert "at collection step 60" in answer.message


def test_an_absolute_limit_is_asked_for(foreign: Recorded) -> None:
    norms = {"overall": 1000 * STEADY}
    assert RULE.judge(foreign(gradient_norms=norms, facts={"limits": {"norm_above": None}})) == Clean()
    assert RULE.judge(foreign(gradient_norms=norms, facts={"limits": {"norm_above": 1e6}})) == Clean()
    answer = RULE.judge(foreign(gradient_norms=norms, facts={"limits": {"norm_above": 100}}))
    assert isinstance(answer, Finding)
    assert "above the limit of 100" in answer.message
