from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import NOTE, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf106_imbalance import RATIO, RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def run(
    recorded: Recorded,
    updates: tuple[float, float],
    weights: tuple[float, float] = (1.0, 1.0),
    lrs: tuple[float, ...] = (0.1,),
    values: tuple[int, int] = (1000, 100),
    steps: int = 100,
    kind: str = "Linear",
    fresh: float = 0.0,
    long_run: int = 100,
    peaks: tuple[float, float] = (1.0, 1.0),
    **facts: object,
) -> Recording:
    return recorded(
        facts={
            "losses": {"mse": {"fresh": fresh}},
            "schedule": {"steps": long_run},
            "activations": [{"module": "backbone", "type": kind}, {"module": "head", "type": "Linear"}],
            **facts,
        },
        gradient_norms={"overall": np.ones(steps)},
        learning_rates={f"lr_group{index}": np.linspace(0, lr, steps) for index, lr in enumerate(lrs)},
        parameters={
            "name": ["backbone.weight", "head.weight"],
            "component": ["backbone", "head"],
            "values": values,
            "first_weight_norm": [0.5 * weight for weight in weights],
            "last_weight_norm": weights,
            "update_total": updates,
            "max_gradient_norm": peaks,
        },
    )


@pytest.mark.parametrize("ratio", [1.5, 100.0, 1e6])
def test_a_component_that_moves_far_more_for_its_size_is_found(ratio: float, recorded: Recorded) -> None:
    answer = RULE.judge(run(recorded, (1.0, ratio * RATIO.value)))
    assert isinstance(answer, Finding)
    assert answer.where == "backbone"
    assert answer.strength == pytest.approx(ratio)


def test_raw_changes_are_not_compared(recorded: Recorded) -> None:
    assert RULE.judge(run(recorded, (1.0, 1e4), weights=(1.0, 1e4))) == Clean()
    assert isinstance(RULE.judge(run(recorded, (1.0, 1.0), weights=(1e4, 1.0))), Finding)


def test_a_ratio_of_learning_rates_that_the_user_set_explains_it(recorded: Recorded) -> None:
    assert RULE.judge(run(recorded, (1e-4, 0.1), lrs=(1e-3, 0.1))) == Clean()
    assert isinstance(RULE.judge(run(recorded, (1e-4, 0.1), lrs=(0.1, 0.1))), Finding)


SLOW = {"updates": (1e-4, 1.0), "lrs": (1e-6, 0.1)}


def test_random_weights_that_a_declared_rate_keeps_still_are_found(recorded: Recorded) -> None:
    answer = RULE.judge(run(recorded, **SLOW, fresh=1.0))
    assert isinstance(answer, Finding)
    assert answer.where == "backbone"
    assert answer.evidence[0].value == pytest.approx(1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {**SLOW, "fresh": 0.09},  # only the head is new: the backbone was trained before
        {**SLOW, "fresh": 1.0, "long_run": 2000},  # it comes far enough in the long run
        {"updates": (0.01, 5.0), "lrs": (1e-3, 0.1), "fresh": 1.0},  # slow, but it moves
        {"updates": (1e-4, 5e-3), "lrs": (1e-3, 0.1), "fresh": 1.0},  # nothing moves: PF202
    ],
)
def test_a_slow_component_that_was_trained_before_or_gets_there_is_clean(
    changes: dict[str, object], recorded: Recorded
) -> None:
    assert RULE.judge(run(recorded, **changes)) == Clean()


@pytest.mark.parametrize(
    "changes",
    [
        {"updates": (1.0, 25.0)},
        {"updates": (1.0, 1e4), "values": (1000, 1)},  # a temperature
        {"updates": (0.0, 1.0)},  # idle: PF104
        {"updates": (1.0, np.inf)},
        {"updates": (1.0, 1.0), "weights": (1.0, 0.0)},
        {"updates": (1.0, 1e4), "kind": "EmbeddingBag"},  # few of its rows are touched
        {"updates": (1.0, 1e4), "peaks": (0.0, 1.0)},  # weight decay alone moves it: PF103
    ],
)
def test_what_differs_for_another_reason_or_little_is_clean(changes: dict[str, object], recorded: Recorded) -> None:
    assert RULE.judge(run(recorded, **changes)) == Clean()


def test_too_few_rows_are_not_clean(recorded: Recorded, foreign: Recorded) -> None:
    missing = NotApplicable("gradient_norms.csv has 20 rows, 30 are needed")
    assert RULE.judge(run(recorded, updates=(1.0, 1e4), steps=20)) == missing
    moves = {"body_delta": [1.0] * 20, "head_delta": [1e4] * 20}
    missing = NotApplicable("weight_deltas.csv has 20 rows, 30 are needed")
    assert RULE.judge(foreign(weight_deltas=moves)) == missing


@pytest.mark.parametrize("scales", [False, True])
def test_another_optimizer_is_advised_where_todays_does_not_scale_its_steps(scales: bool, recorded: Recorded) -> None:
    known = {"name": "AnyName", "scales_steps": scales}
    answer = RULE.judge(run(recorded, (1.0, 1e4), optimizer=known))
    assert isinstance(answer, Finding)
    assert ("use an optimizer" in answer.remedies[0].text) is not scales
    assert ("AnyName" in answer.remedies[0].text) is scales


def test_without_weight_norms_there_is_nothing_to_judge(recorded: Recorded) -> None:
    table = {"name": ["a.w"], "component": ["a"], "values": [4], "update_total": [1.0]}
    run = {"gradient_norms": {"overall": [1.0] * 50}, "parameters": table}
    answer = RULE.judge(recorded(**run))
    assert answer == NotApplicable("parameters.csv has no column 'first_weight_norm'")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it keeps nothing
@given(scale=st.floats(1e-6, 1e6), factor=st.sampled_from([0.5, 2.0]))
def test_the_scale_of_the_weights_does_not_matter(recorded: Recorded, scale: float, factor: float) -> None:
    answer = RULE.judge(run(recorded, (scale, factor * RATIO.value), weights=(scale, 1.0)))
    assert isinstance(answer, Finding) == (factor > 1)


def test_where_no_probe_has_looked_for_tables_there_is_nothing_to_judge(recorded: Recorded) -> None:
    whole = run(recorded, (1.0, 1e4))
    answer = RULE.judge(Recording(whole.folder, whole.info, {}, whole.tables))
    assert answer == NotApplicable("no probe has looked at 'activations'")


def moves(slow: float, fast: float) -> dict[str, np.ndarray]:
    return {"body_delta": np.full(60, slow), "head_delta": np.full(60, fast)}


@pytest.mark.parametrize(("fast", "severity"), [(0.2, NOTE), (5.0, WARNING)])
def test_without_weights_the_changes_are_compared_and_said_to_be(fast: float, severity: str, foreign: Recorded) -> None:
    answer = RULE.judge(foreign(weight_deltas=moves(1e-3, fast)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (severity, "body")
    assert "not recorded" in answer.message
    rates = {"lr_group0": np.full(60, 1e-4), "lr_group1": np.full(60, 1.0)}
    assert RULE.judge(foreign(weight_deltas=moves(1e-3, fast), learning_rates=rates)) == Clean()


@pytest.mark.parametrize("fast", [1e-3, 0.09, 0.0, np.nan])
def test_changes_of_one_size_are_even(fast: float, foreign: Recorded) -> None:
    assert RULE.judge(foreign(weight_deltas=moves(1e-3, fast))) == Clean()


def test_without_weights_and_changes_there_is_nothing_to_compare(foreign: Recorded) -> None:
    assert RULE.judge(foreign()) == NotApplicable("there is no weight_deltas.csv")
