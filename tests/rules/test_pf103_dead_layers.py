from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf103_dead_layers import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
nan = np.nan


def run(
    recorded: Recorded,
    last: Sequence[int],
    peaks: Sequence[float] | None = None,
    losses: Sequence[float] | None = None,
    steps: int = 100,
) -> Recording:
    """Three layers with the last step at which each had a gradient; the largest comes first."""
    count = len(last)
    tables = {} if losses is None else {"losses": {"total": losses}}
    return recorded(
        gradient_norms={"overall": np.ones(steps)},
        parameters={
            "name": [f"{name}.weight" for name in "abcdef"[:count]],
            "component": list("abcdef"[:count]),
            "values": [100, 40, 10, 5][:count],
            "max_gradient_norm": [0.0 if step < 0 else 1.0 for step in last] if peaks is None else peaks,
            "median_gradient_norm": [0.0] * count,
            "last_gradient_step": last,
        },
        **tables,
    )


def test_a_layer_that_never_had_a_gradient_is_dead(recorded: Recorded) -> None:
    answer = RULE.judge(run(recorded, [99, 99, -1]))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where, answer.step) == (WARNING, "c", 0)
    assert "in no step" in answer.message


@pytest.mark.parametrize("died", [0, 14, 70])
def test_layers_that_die_during_training_are_named_with_their_step(died: int, recorded: Recorded) -> None:
    answer = RULE.judge(run(recorded, [died, died, 99]))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where, answer.step) == (ERROR, "a", died + 1)
    assert f"since step {died + 1}" in answer.message


@pytest.mark.parametrize(
    "last",
    [
        [99, 99, 99],
        [99, 98, 90],  # a branch that is used now and then
        [99, 99, 76],
    ],
)
def test_layers_with_a_gradient_up_to_the_end_are_clean(last: list[int], recorded: Recorded) -> None:
    assert RULE.judge(run(recorded, last)) == Clean()


def test_a_loss_with_nothing_left_to_learn_has_no_gradient_and_no_fault(recorded: Recorded) -> None:
    fitted, stuck = np.where(np.arange(100) < 50, 1.0, 0.0), np.full(100, 2.3)
    assert RULE.judge(run(recorded, [50, 50, 50], losses=fitted)) == Clean()
    answer = RULE.judge(run(recorded, [50, 50, 50], losses=stuck))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR


def test_a_layer_dies_although_the_loss_goes_on_falling(recorded: Recorded) -> None:
    assert isinstance(RULE.judge(run(recorded, [99, 20, 99], losses=np.geomspace(1, 1e-4, 100))), Finding)


def test_a_gradient_that_never_came_is_another_fault(recorded: Recorded) -> None:
    assert RULE.judge(run(recorded, [99, 99, -1], [1.0, 1.0, nan])) == Clean()


def test_a_short_run_tells_nothing(recorded: Recorded) -> None:
    missing = NotApplicable("gradient_norms.csv has 10 rows, 20 are needed")
    assert RULE.judge(run(recorded, [9, -1, -1], steps=10)) == missing


def test_of_components_a_few_rows_tell_nothing(foreign: Recorded) -> None:
    missing = NotApplicable("gradient_norms.csv has 10 rows, 20 are needed")
    assert RULE.judge(foreign(gradient_norms={"body": np.zeros(10)})) == missing


def test_without_gradients_by_parameter_there_is_nothing_to_judge(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(parameters={"name": ["a"], "component": ["a"], "values": [1]}))
    assert answer == NotApplicable("parameters.csv has no column 'max_gradient_norm'")


def test_of_components_a_gradient_of_zero_is_dead(foreign: Recorded) -> None:
    late = np.where(np.arange(300) < 150, 1.0, 0.0)
    answer = RULE.judge(foreign(gradient_norms={"overall": np.ones(300), "body": late, "head": np.ones(300)}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where, answer.step) == (WARNING, "body", 150)
    answer = RULE.judge(foreign(gradient_norms={"overall": np.zeros(300), "body": np.zeros(300)}))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert "zero in every row" in answer.message


@pytest.mark.parametrize("silent", [0, 19, 74])
def test_a_component_that_is_silent_for_a_while_is_not_dead(silent: int, foreign: Recorded) -> None:
    body = np.where(np.arange(300) < 300 - silent, 1.0, 0.0)
    sparse = np.where(np.arange(300) % 10, np.nan, 1.0)
    assert RULE.judge(foreign(gradient_norms={"body": body, "head": sparse})) == Clean()
