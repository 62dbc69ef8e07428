from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf604_memory_growing import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def facts(held: list[int], capacity: int | None = None, steps: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"memory": {"after_steps": held, "capacity": capacity}}
    return found if steps is None else {**found, "schedule": {"steps": steps}}


@pytest.mark.parametrize("growth", [8 * 2**10, 10**6])
def test_what_every_step_adds_to_grows(growth: int, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts([1000 + growth * step for step in range(8)])))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.evidence[1].value) == (WARNING, growth)


def test_growth_that_does_not_fit_in_the_end_is_an_error(recorded: Recorded) -> None:
    held = [10_000 * step for step in range(8)]
    answer = RULE.judge(recorded(facts=facts(held, capacity=10**7, steps=10**4)))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    answer = RULE.judge(recorded(facts=facts(held, capacity=10**9, steps=10**4)))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING


@pytest.mark.parametrize(
    "held",
    [
        [0] * 8,
        [10, 500, 500, 500, 500, 500, 500, 500],  # the optimizer's state
        [10, 500, 600, 600, 600, 601, 600, 601],
        [512 * step for step in range(8)],  # a number of each step
        [9, 8, 7, 6, 5, 4, 3, 2],
    ],
)
def test_what_settles_is_clean(held: list[int], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(held))) == Clean()


def test_what_was_not_measured_is_not_judged(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'memory'")


def test_nodes_of_a_graph_are_counted_beside_bytes(recorded: Recorded) -> None:
    found = facts([1000] * 8, steps=700)
    found["memory"]["nodes_after_steps"] = [6 * step for step in range(8)]
    answer = RULE.judge(recorded(facts=found))
    assert isinstance(answer, Finding)
    assert answer.message == (
        "every step keeps 6 more nodes of the autograd graph than the one before, 4,200 at the end of the run"
    )
    found["memory"]["nodes_after_steps"] = [6] * 8
    assert RULE.judge(recorded(facts=found)) == Clean()


@pytest.mark.parametrize("held", [[], [1, 2, 3, 4]])
def test_too_few_steps_cannot_tell(held: list[int], recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(held)))
    assert answer == NotApplicable(f"memory was measured after {len(held)} steps in a row, and it takes 8 to tell")
