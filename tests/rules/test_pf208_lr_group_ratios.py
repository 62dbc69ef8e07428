from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf208_lr_group_ratios import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def facts(*groups: tuple[float, float]) -> dict[str, Any]:
    return {"schedule": {"kind": "OneCycleLR", "groups": [{"ratio": ratio, "peak": peak} for ratio, peak in groups]}}


def test_a_scheduler_that_sets_all_groups_to_one_rate(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts((1.0, 0.01), (10.0, 0.01))))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "lr_group1")
    assert "group 1 has 1 times the rate of group 0, where 10 times was declared" in answer.message


def test_recorded_rates_in_another_ratio(recorded: Recorded) -> None:
    rates = {"lr_group0": [0.01, 0.005], "lr_group1": [0.05, 0.025]}
    answer = RULE.judge(recorded(facts=facts((1.0, 0.01), (10.0, 0.1)), learning_rates=rates))
    assert isinstance(answer, Finding)
    assert answer.evidence[1].value == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("groups", "rates"),
    [
        ([(1.0, 0.01)], {}),
        ([(1.0, 0.01), (10.0, 0.1)], {}),
        ([(1.0, 0.01), (1.0, 0.01)], {}),
        ([(1.0, 0.01), (10.0, 0.05)], {}),  # a schedule of its own for each group
        ([(1.0, 0.01), (10.0, 0.1)], {"lr_group0": [0.03, 0.0], "lr_group1": [0.3, 0.0]}),
        ([(1.0, 0.01), (10.0, 0.1)], {"lr_group0": [0.0, 0.0], "lr_group1": [0.3, 0.0]}),
    ],
)
def test_ratios_that_are_kept_are_clean(
    groups: list[tuple[float, float]], rates: dict[str, list[float]], recorded: Recorded
) -> None:
    tables = {"learning_rates": rates} if rates else {}
    assert RULE.judge(recorded(facts=facts(*groups), **tables)) == Clean()


def test_without_a_replay_the_declared_ratios_are_not_known(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(learning_rates={"lr_group0": [0.1], "lr_group1": [0.1]}))
    assert answer == NotApplicable("no probe has looked at 'schedule'")
