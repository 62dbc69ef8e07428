"""What is said of the order of short trials."""

from __future__ import annotations

from typing import Any

import pytest

from preflight.report.agreement import agreement_text
from preflight.report.sources import Sources


def confirmed(run: Any, today: float, better: float) -> Sources:
    """The run with three confirming runs of today's settings and of the recommended ones."""
    trials = Sources.read(run.folder).of("explore")
    for index in range(6):
        params, score = (trials[0].params, today) if index < 3 else (trials[1].params, better)
        run.trial("confirm", index, params, seed=1000 + index % 3, score=score * (1 + 0.01 * (index % 3)))
    return Sources.read(run.folder)


@pytest.mark.parametrize(
    ("today", "better", "ending"),
    [(1.0, 0.1, "the seeds tell 1 apart, all in the same order."), (0.1, 1.0, "1 in the other order: short trials")],
)
def test_it_says_whether_longer_runs_keep_the_order_of_the_trials(
    today: float, better: float, ending: str, changed: Any
) -> None:
    changed.run(budget={"trial_steps": 60})
    text = agreement_text(confirmed(changed, today, better))
    assert text.startswith("Of 1 pair of settings with trials of 60 steps and confirming runs of 300")
    assert ending in text


def test_nothing_is_said_where_nothing_is_told_apart(changed: Any) -> None:
    assert agreement_text(Sources.read(changed.folder)) == ""
    changed.run(budget={"trial_steps": 60})
    assert agreement_text(confirmed(changed, 0.5, 0.5)) == ""


def test_trials_as_long_as_confirming_runs_have_nothing_to_agree_with(changed: Any) -> None:
    changed.run(budget={"trial_steps": 300})
    assert agreement_text(confirmed(changed, 1.0, 0.1)) == ""
