from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from preflight.core.errors import ConfigError
from preflight.core.params import Params
from preflight.search import driver
from preflight.search.driver import Explored, explore
from preflight.search.study import create_study
from preflight.trials.lab import TrialSpec
from preflight.trials.outcome import (
    COMPLETED,
    CRASHED,
    DIVERGED,
    INTERRUPTED,
    OUT_OF_MEMORY,
    PRUNED,
    WORST_SCORE,
    Outcome,
    Result,
)

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "warmup_fraction": CategoricalDistribution((0.0, 0.1)),
    "normalization.input": CategoricalDistribution(("none", "standardize")),
}


@pytest.fixture
def run(make_engine: Any, make_study: Any, make_budget: Any, today: Params) -> Callable[..., tuple[Any, Any, Any]]:
    """Explore with a fake engine; gives the study, the engine and what was explored."""

    def start(
        answer: Callable[[TrialSpec], Result] | None = None,
        space: dict[str, BaseDistribution] = SPACE,
        seed: int = 0,
        today: Params = today,
        finish: Callable[[Params], Params] = lambda params: params,
        watch: Callable[[Explored], None] = lambda item: None,
        pruner: optuna.pruners.BasePruner | None = None,
        study: optuna.Study | None = None,
        **budget: Any,
    ) -> tuple[Any, Any, Any]:
        engine = make_engine(answer) if answer else make_engine()
        study = study or make_study(seed, pruner)
        explored = explore(study, engine, today, space, make_budget(**budget), seed, finish, watch)
        return study, engine, explored

    return start


def failing(status: str, at: int, otherwise: Callable[[TrialSpec], Result]) -> Callable[[TrialSpec], Result]:
    def answer(spec: TrialSpec) -> Result:
        if spec.index == at:
            return Result(Outcome(status, f"it {status}"), math.nan, math.nan, {}, 3, 0.1)
        return otherwise(spec)

    return answer


def test_todays_settings_are_the_first_trial(run: Any, today: Params) -> None:
    study, engine, _ = run()
    assert engine.specs[0].params is today
    assert study.trials[0].params == {"lr": 0.3, "warmup_fraction": 0.0, "normalization.input": "none"}


def test_every_trial_is_specified_alike_but_for_its_settings(run: Any) -> None:
    _, engine, explored = run(seed=5, trials=6)
    assert [spec.index for spec in engine.specs] == list(range(6))
    assert {(s.purpose, s.seed, s.steps, s.rungs, s.schedule) for s in engine.specs} == {("explore", 5, 12, 3, None)}
    assert [item.spec for item in explored] == engine.specs


def test_proposals_change_todays_settings_and_nothing_else(run: Any, today: Params) -> None:
    study, engine, _ = run()
    for trial, spec in zip(study.trials, engine.specs, strict=True):
        assert spec.params == today.with_values(trial.params)
    assert len({spec.params.lr for spec in engine.specs}) == 8


def test_proposals_are_finished_and_todays_settings_are_not(run: Any, today: Params) -> None:
    def two_digits(params: Params) -> Params:
        return params.with_values({"lr": float(f"{params.lr:.1g}")})

    _, engine, _ = run(finish=two_digits, today=today.with_values({"lr": 0.1234}))
    assert engine.specs[0].params.lr == 0.1234
    assert all(spec.params.lr == float(f"{spec.params.lr:.1g}") for spec in engine.specs[1:])


@pytest.mark.parametrize("status", [CRASHED, DIVERGED, OUT_OF_MEMORY])
def test_a_trial_that_failed_is_told_with_the_worst_score_and_its_reason(
    status: str, run: Any, answer_well: Any
) -> None:
    study, _, explored = run(failing(status, 2, answer_well))
    trial = study.trials[2]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, WORST_SCORE)
    assert trial.user_attrs == {
        "settings": "proposed by Optuna",
        "outcome": status,
        "reason": f"it {status}",
        "recording": "trials/explore-002",
    }
    assert [item.state for item in study.trials] == [TrialState.COMPLETE] * 8
    assert len(explored) == 8


def test_a_completed_trial_is_told_with_its_score_and_metric(run: Any) -> None:
    study, _, explored = run()
    for trial, item in zip(study.trials, explored, strict=True):
        assert trial.value == pytest.approx(min(item.result.score, WORST_SCORE))
        assert trial.user_attrs == {
            "settings": "proposed by Optuna" if trial.number else "today's",
            "outcome": COMPLETED,
            "recording": f"trials/{item.spec.folder_name}",
            "metric": 7.0,
        }


def test_each_trial_says_where_its_settings_come_from(
    make_engine: Any, make_study: Any, make_budget: Any, today: Params
) -> None:
    study, hints = make_study(), [today.with_values({"lr": lr}) for lr in (0.01, 0.1)]
    explore(study, make_engine(), today, SPACE, make_budget(trials=4), 0, lambda it: it, lambda it: None, hints)
    found = [(trial.user_attrs["settings"], trial.params["lr"]) for trial in study.trials[:3]]
    ladder = "best learning rate of a ladder"
    assert found == [("today's", 0.3), (ladder, 0.01), (ladder, 0.1)]
    assert study.trials[3].user_attrs["settings"] == "proposed by Optuna"


def test_a_metric_is_shown_without_digits_that_it_has_not(run: Any) -> None:
    def single(spec: TrialSpec) -> Result:
        return Result(Outcome(COMPLETED), 0.5, 0.20399999618530273, {}, spec.steps, 0.1)

    study, _, _ = run(single, trials=1)
    assert study.trials[0].user_attrs["metric"] == 0.204


def test_a_score_beyond_the_worst_is_told_as_the_worst(run: Any) -> None:
    def terrible(spec: TrialSpec) -> Result:
        return Result(Outcome(COMPLETED), 1e30, math.nan, {}, spec.steps, 0.1)

    study, _, explored = run(terrible, trials=3)
    assert [trial.value for trial in study.trials] == [WORST_SCORE] * 3
    assert study.trials[0].intermediate_values == {4: WORST_SCORE, 8: WORST_SCORE}
    assert explored[0].result.score == 1e30


def test_a_hopeless_trial_is_told_as_pruned(run: Any) -> None:
    pruner = optuna.pruners.ThresholdPruner(upper=1.0)
    study, _, explored = run(pruner=pruner, trials=10)
    states = [trial.state for trial in study.trials]
    assert TrialState.PRUNED in states and TrialState.COMPLETE in states
    for trial, item in zip(study.trials, explored, strict=True):
        assert (trial.state == TrialState.PRUNED) == (item.result.outcome.status == PRUNED) == (item.result.score > 1)


def test_rungs_are_reported_in_steps_of_todays_batch_size(run: Any, today: Params) -> None:
    space: dict[str, BaseDistribution] = {"batch_size": CategoricalDistribution((8, 2, 16))}
    study, engine, explored = run(space=space, trials=12)
    assert {spec.params.batch_size for spec in engine.specs} == {8, 2, 16}
    trained = [trial for trial in study.trials if "same settings as" not in trial.user_attrs]
    assert len(trained) == len(explored)
    assert {tuple(trial.intermediate_values) for trial in trained} == {(4, 8)}


def test_ctrl_c_fails_the_trial_and_keeps_what_was_told(run: Any, make_study: Any, answer_well: Any) -> None:
    study, watched = make_study(), []
    with pytest.raises(KeyboardInterrupt):
        run(failing(INTERRUPTED, 3, answer_well), study=study, watch=watched.append)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3 + [TrialState.FAIL]
    assert study.trials[3].user_attrs["outcome"] == INTERRUPTED
    assert len(watched) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_no_trial_is_left_running_when_the_lab_itself_fails(
    error: type[BaseException], run: Any, make_study: Any, answer_well: Any
) -> None:
    def answer(spec: TrialSpec) -> Result:
        if spec.index == 2:
            raise error
        return answer_well(spec)

    study = make_study()
    with pytest.raises(error):
        run(answer, study=study)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2 + [TrialState.FAIL]


def test_a_study_that_cannot_be_written_any_more_ends_the_search_and_says_why(
    tmp_path: Path, run: Any, make_budget: Any, answer_well: Any
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    study, watched = create_study("small", folder, make_budget(), 0), []

    def answer(spec: TrialSpec) -> Result:
        if spec.index == 2:
            shutil.rmtree(folder)
        return answer_well(spec)

    with pytest.raises(ConfigError, match=r"^study\.db in the run directory cannot be written: attempt to write"):
        run(answer, study=study, watch=watched.append)
    assert len(watched) == 2


def test_nothing_but_an_interruption_fails(run: Any) -> None:
    statuses = [COMPLETED, CRASHED, DIVERGED, OUT_OF_MEMORY, PRUNED]

    def answer(spec: TrialSpec) -> Result:
        return Result(Outcome(statuses[spec.index % 5]), 0.5, math.nan, {}, 3, 0.1)

    study, _, _ = run(answer, trials=10)
    states = {trial.state for trial in study.trials}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED}


def proposals(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def test_the_same_seed_proposes_the_same_settings(run: Any) -> None:
    first = proposals(run(seed=3, trials=15)[0])
    assert proposals(run(seed=3, trials=15)[0]) == first
    assert proposals(run(seed=4, trials=15)[0]) != first


def test_the_search_comes_near_the_best_learning_rate(run: Any) -> None:
    study, _, _ = run(trials=30)
    assert study.best_value < 0.2


def test_each_trial_is_watched_as_it_ends(run: Any) -> None:
    watched: list[Explored] = []
    _, _, explored = run(watch=watched.append)
    assert watched == explored


@pytest.mark.parametrize(("timeout_s", "trials"), [(None, 8), (1000.0, 8), (25.0, 3), (0.5, 1)])
def test_no_trial_starts_after_the_timeout_but_the_first(
    timeout_s: float | None, trials: int, run: Any, monkeypatch: pytest.MonkeyPatch, answer_well: Any
) -> None:
    clock = [0.0]
    monkeypatch.setattr(driver, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def ten_seconds(spec: TrialSpec) -> Result:
        clock[0] += 10.0
        return answer_well(spec)

    study, _, explored = run(ten_seconds, timeout_s=timeout_s)
    assert len(explored) == len(study.trials) == trials


def test_a_budget_of_one_trains_todays_settings(run: Any, today: Params) -> None:
    _, engine, _ = run(trials=1)
    assert [spec.params for spec in engine.specs] == [today]


def test_an_empty_space_trains_todays_settings_once(run: Any, today: Params) -> None:
    _, engine, _ = run(space={}, trials=3)
    assert [spec.params for spec in engine.specs] == [today]


FEW: dict[str, BaseDistribution] = {
    "batch_size": CategoricalDistribution((8, 16)),
    "warmup_fraction": CategoricalDistribution((0.0, 0.05, 0.1)),
}


@pytest.mark.parametrize("seed", range(5))
def test_a_space_of_few_settings_is_trained_once_each_and_then_it_says_so(
    seed: int, make_engine: Any, make_study: Any, make_budget: Any, today: Params
) -> None:
    said: list[str] = []
    engine, study = make_engine(), make_study(seed)
    explored = explore(
        study, engine, today, FEW, make_budget(trials=20), seed, lambda it: it, lambda it: None, (), said.append
    )
    assert len({spec.params.key() for spec in engine.specs}) == len(engine.specs) == len(explored) == 6
    assert said == ["explored 6 of 20 trials: 30 more proposals held no other settings"]
    assert [spec.folder_name for spec in engine.specs] == [f"explore-00{index}" for index in range(6)]


def test_a_space_that_just_fits_the_budget_is_trained_without_a_word(run: Any) -> None:
    study, engine, explored = run(space=FEW, trials=6)
    assert len({spec.params.key() for spec in engine.specs}) == len(explored) == 6
    assert len(study.trials) < 6 + driver.MAX_REPEATS


def test_settings_that_are_the_same_once_rounded_are_trained_once(run: Any) -> None:
    def one_digit(params: Params) -> Params:
        return params.with_values({"lr": 0.1 if params.lr > 0.01 else 0.001})

    space: dict[str, BaseDistribution] = {"lr": FloatDistribution(1e-4, 1.0, log=True)}
    _, engine, _ = run(space=space, trials=10, finish=one_digit)
    assert sorted(spec.params.lr for spec in engine.specs) == [0.001, 0.1, 0.3]


def test_a_repeat_is_told_the_known_score_and_counts_as_no_trial(run: Any) -> None:
    study, _, explored = run(space=FEW, trials=5)
    assert len(explored) == 5
    repeats = [trial for trial in study.trials if "same settings as" in trial.user_attrs]
    assert repeats
    for trial in repeats:
        first = study.trials[trial.user_attrs["same settings as"]]
        assert trial.value == first.value
        assert trial.params == first.params
        assert trial.user_attrs["recording"] == first.user_attrs["recording"]


@pytest.mark.parametrize("status", [CRASHED, PRUNED])
def test_a_repeat_of_a_trial_without_a_score_ends_as_that_one_did(status: str, run: Any) -> None:
    def answer(spec: TrialSpec) -> Result:
        return Result(Outcome(status), math.nan, math.nan, {}, 3, 0.1)

    study, _, _ = run(answer, space={}, trials=2)
    states = {trial.state for trial in study.trials}
    assert states == {TrialState.PRUNED if status == PRUNED else TrialState.COMPLETE}
    assert len(study.trials) == 1 + driver.MAX_REPEATS


def test_a_repeat_of_a_pruned_trial_is_ranked_by_the_rung_that_it_reached(run: Any) -> None:
    pruner = optuna.pruners.ThresholdPruner(upper=0.0)
    study, _, _ = run(space={}, trials=2, pruner=pruner)
    assert study.trials[0].intermediate_values.keys() == {4}
    assert study.trials[1].intermediate_values == study.trials[0].intermediate_values
    assert study.trials[1].state == TrialState.PRUNED


@pytest.mark.parametrize(
    ("distribution", "middle"),
    [
        (FloatDistribution(1e-4, 1.0, log=True), 1e-2),
        (FloatDistribution(0.0, 4.0), 2.0),
        (IntDistribution(0, 100), 50),
        (IntDistribution(1, 10_000, log=True), 100),
    ],
)
def test_what_is_drawn_lies_inside_and_evenly_on_its_scale(distribution: Any, middle: float) -> None:
    draws = random.Random(0)
    found = [driver._drawn(distribution, draws) for _ in range(1000)]
    assert all(distribution._contains(distribution.to_internal_repr(value)) for value in found)
    assert 0.45 < sum(value < middle for value in found) / 1000 < 0.55


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("weight_decay", FloatDistribution(1e-6, 0.1, log=True)),  # None today
        ("loss_weights.off", FloatDistribution(1e-3, 10.0, log=True)),  # zero today
        ("width", IntDistribution(4, 16)),  # not set today
    ],
)
def test_a_value_that_no_range_can_hold_is_still_trained_first(
    name: str, distribution: BaseDistribution, run: Any, today: Params
) -> None:
    study, engine, _ = run(space={**SPACE, name: distribution})
    assert engine.specs[0].params is today
    assert study.trials[0].params["lr"] == 0.3
    assert all(spec.params.flat()[name] is not None for spec in engine.specs[1:])


def test_an_extra_that_is_not_set_today_is_left_out_or_set(run: Any, today: Params) -> None:
    study, engine, _ = run(space={**SPACE, "width": CategoricalDistribution((None, 16))}, trials=12)
    assert study.trials[0].params["width"] is None
    extras = [dict(spec.params.extras) for spec in engine.specs]
    assert {"dropout": 0.1, "width": None} not in extras
    assert {"dropout": 0.1} in extras[1:] and {"dropout": 0.1, "width": 16} in extras


def test_a_setting_that_is_none_today_may_be_proposed_as_none(run: Any) -> None:
    _, engine, _ = run(space={**SPACE, "clip_norm": CategoricalDistribution((None, 1.0))}, trials=12)
    assert {spec.params.clip_norm for spec in engine.specs[1:]} == {None, 1.0}
