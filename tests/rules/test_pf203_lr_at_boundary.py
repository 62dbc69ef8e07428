from __future__ import annotations

from collections.abc import Callable

import pytest

from preflight.core.finding import NOTE, Clean, Finding, NotApplicable
from preflight.rules.pf203_lr_at_boundary import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def search(low: float, high: float, best: float) -> dict[str, object]:
    return {"search": {"lr": {"low": low, "high": high, "best": best}}}


@pytest.mark.parametrize(
    ("best", "where", "wider"),
    [(1e-5, "space.lr.low", "1.0e-06"), (1.05e-5, "space.lr.low", "1.0e-06"), (0.099, "space.lr.high", "1.0e+00")],
)
def test_the_best_rate_at_an_end_is_noted(best: float, where: str, wider: str, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=search(1e-5, 0.1, best)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (NOTE, where)
    assert f"{where}={wider}" in answer.remedies[0].text


@pytest.mark.parametrize(
    ("low", "high", "best"), [(1e-5, 0.1, 1e-3), (1e-5, 0.1, 2e-5), (1e-3, 1e-3, 1e-3), (1e-5, 0.1, 0.5)]
)
def test_a_best_rate_inside_or_outside_is_clean(low: float, high: float, best: float, recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=search(low, high, best))) == Clean()


def test_without_a_search_there_is_nothing_to_judge(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'search'")
