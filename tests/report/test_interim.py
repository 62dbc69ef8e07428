from __future__ import annotations

from collections.abc import Callable
from typing import Any

from preflight.core.params import Params
from preflight.report.interim import Interim, interim
from preflight.report.sources import Sources

NewRun = Callable[..., Any]
NOW = Params(lr=0.03, batch_size=32, normalization={"input": "none"}, loss_weights={"ce": 1.0})


def found_in(writer: Any) -> Interim | None:
    return interim(Sources.read(writer.folder))


def lr(value: float) -> Params:
    return NOW.with_values({"lr": value})


def test_the_best_completed_trial_leads(new_run: NewRun) -> None:
    writer = new_run(status="interrupted")
    writer.explored()
    found = found_in(writer)
    assert found is not None
    assert found.is_better
    assert (found.trials, found.scores) == (5, (1.0, 0.2))
    assert found.changes == {"lr": (0.03, 0.003), "normalization.input": ("none", "standardize")}


def test_todays_settings_may_lead(new_run: NewRun) -> None:
    writer = new_run(status="interrupted")
    writer.trial("explore", 0, NOW, score=0.2)
    writer.trial("explore", 1, lr(0.1), score=0.4)
    writer.trial("explore", 2, lr(0.01), score=0.1, status="pruned")
    found = found_in(writer)
    assert found is not None
    assert not found.is_better
    assert found.best.params.lr == 0.1


def test_settings_of_today_that_diverged_count_as_the_worst(new_run: NewRun) -> None:
    writer = new_run(status="interrupted")
    writer.trial("explore", 0, NOW, score=float("nan"), status="diverged")
    writer.trial("explore", 1, lr(0.01), score=1.5)
    found = found_in(writer)
    assert found is not None
    assert found.is_better
    assert found.scores == (10.0, 1.5)


def test_confirming_runs_have_no_part_in_it(new_run: NewRun) -> None:
    writer = new_run(status="interrupted")
    writer.explored()
    writer.trial("confirm", 0, lr(0.01), score=0.01)
    found = found_in(writer)
    assert found is not None
    assert found.scores == (1.0, 0.2)


def test_without_both_sides_there_is_no_leader(new_run: NewRun) -> None:
    writer = new_run(status="interrupted")
    assert found_in(writer) is None
    writer.trial("explore", 0, NOW)
    assert found_in(writer) is None
    writer.trial("explore", 1, lr(0.01), status="interrupted")
    assert found_in(writer) is None


def test_a_recommendation_ends_it(changed: Any) -> None:
    assert found_in(changed) is None
