from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import NOTE, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf505_train_eval_gap import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def modes(train: float, evaluated: float, first: float = 2.0, again: float | None = None, norm: bool = True) -> Any:
    again = evaluated if again is None else again
    facts = {"train_loss": train, "eval_loss": evaluated, "eval_again": again, "first_loss": first}
    return {"modes": {**facts, "has_batch_norm": norm}}


@pytest.mark.parametrize("evaluated", [2.5, 100.0, float("inf")])
def test_an_evaluation_far_above_training_is_found(recorded: Recorded, evaluated: float) -> None:
    answer = RULE.judge(recorded(facts=modes(0.5, evaluated)))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING
    assert "running statistics" in answer.message
    assert 1 <= answer.strength <= 100


def test_without_batch_normalization_another_module_is_to_blame(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=modes(0.5, 5.0, norm=False)))
    assert isinstance(answer, Finding)
    assert "batch normalization" not in answer.message


@pytest.mark.parametrize(("drops", "severity"), [(True, WARNING), (False, NOTE)])
def test_a_latent_variable_that_is_sampled_is_no_dropout(drops: bool, severity: str, recorded: Recorded) -> None:
    known = {"train_loss": 0.5, "eval_loss": 0.5, "eval_again": 0.6, "first_loss": 1.0, "has_batch_norm": False}
    answer = RULE.judge(recorded(facts={"modes": {**known, "eval_drops": drops}}))
    assert isinstance(answer, Finding)
    assert answer.severity == severity


@pytest.mark.parametrize(
    ("again", "drops", "found"),
    [(2.285, True, True), (2.2929001, True, False), (2.285, False, False), (2.285, None, False)],
)
def test_dropping_is_a_fault_beyond_the_noise_of_sums_and_drawing_is_none(
    again: float, drops: bool | None, found: bool, recorded: Recorded
) -> None:
    facts = modes(2.2671, 2.2929, 2.2883, again, norm=False)
    facts["modes"]["eval_drops"] = drops
    answer = RULE.judge(recorded(facts=facts))
    assert isinstance(answer, Finding) == found
    if isinstance(answer, Finding):
        assert "dropped at random" in answer.message
        assert "2.2929 and 2.285" in answer.message


def test_what_is_random_in_evaluation_is_found(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=modes(0.5, 0.6, again=0.65)))
    assert isinstance(answer, Finding)
    assert "something random" in answer.message


@pytest.mark.parametrize(
    ("train", "evaluated"),
    [
        (0.5, 0.5),
        (1.0, 0.6),
        (0.01, 0.1),
        (1.8, 2.9),
        (0.5, 1.2),
        (float("nan"), float("nan")),
        (-3.0, -2.5),
        (9.0, 90.0),
    ],
)
def test_a_small_gap_is_clean(recorded: Recorded, train: float, evaluated: float) -> None:
    assert RULE.judge(recorded(facts=modes(train, evaluated))) == Clean()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(1e-6, 1e6), st.sampled_from([0.6, 5.0]))
def test_the_unit_of_the_loss_does_not_matter(recorded: Recorded, scale: float, evaluated: float) -> None:
    answer = RULE.judge(recorded(facts=modes(0.5 * scale, evaluated * scale, 2.0 * scale)))
    assert isinstance(answer, Finding) == (evaluated == 5.0)


def test_without_the_probe_there_is_nothing_to_judge(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'modes'")


@pytest.mark.parametrize(
    ("momentum", "steps", "validation", "found"),
    [
        (1e-4, 1000, 1.5, True),
        (1e-4, 100_000, 1.5, False),  # the long run gives them time
        (0.01, 1000, 1.5, False),
        (1e-4, 1000, 0.15, False),  # they are good enough
    ],
)
def test_statistics_that_are_too_slow_for_the_length_of_the_run(
    recorded: Recorded, momentum: float, steps: int, validation: float, found: bool
) -> None:
    known = modes(0.5, 0.5)
    known["modes"]["norm_momentum"] = momentum
    facts = {**known, "schedule": {"steps": steps}, "losses": {"ce": {}}}
    columns = {"total": [0.1] * 50, "val_ce": [float("nan")] * 49 + [validation]}
    answer = RULE.judge(recorded(facts=facts, losses=columns))
    assert isinstance(answer, Finding) == found
    if isinstance(answer, Finding):
        assert answer.evidence[0].value == pytest.approx((1 - momentum) ** steps)


@pytest.mark.parametrize(
    ("evaluations", "training", "dropout", "found"),
    [(5, 5, 0.5, True), (5, 0, 0.5, False), (5, 5, 0.0, False), (5, 2, 0.5, False), (0, 0, 0.5, False)],
)
def test_a_loop_that_never_switches_to_evaluation_mode_is_found(
    recorded: Recorded, evaluations: int, training: int, dropout: float, found: bool
) -> None:
    facts = modes(0.5, 0.5, norm=False)
    facts["modes"]["dropout"] = dropout
    facts["loop"] = {"evaluations": evaluations, "evaluated_in_training_mode": training}
    assert isinstance(RULE.judge(recorded(facts=facts)), Finding) == found
