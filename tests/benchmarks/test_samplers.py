from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from benchmarks.sampler_ground import Ground, Replay, cell, ground
from benchmarks.sampler_methods import OUR_PRUNER, OUR_SAMPLER, PRUNERS, SAMPLERS
from benchmarks.sampler_verdict import best_so_far, ratio, regrets, summary, target, typical
from benchmarks.samplers import NAMES, PRUNER, SAMPLER, search
from benchmarks.whole_starts import STARTS
from optuna.distributions import CategoricalDistribution, FloatDistribution

from benchmarks import samplers
from preflight.core.params import Params
from preflight.core.search_settings import BudgetSettings
from preflight.search.study import create_study
from preflight.telemetry import store
from preflight.trials.evaluation import Evaluation
from preflight.trials.lab import TrialSpec, never
from preflight.trials.outcome import COMPLETED, PRUNED

TODAY = Params(lr=0.006, batch_size=32, loss_weights={"a": 1.0, "b": 3.0}, normalization={"image": "none"})
START = next(start for start in STARTS if start.name == NAMES[0])


def cells(*values: float, task: str = "t") -> dict[tuple[str, int], float]:
    return {(task, seed): value for seed, value in enumerate(values)}


def test_a_lost_run_is_typical_of_a_constant_prediction() -> None:
    assert typical({1: math.inf, 2: math.inf, 3: 0.1}) == 1.0
    assert typical({1: math.inf, 2: 0.2, 3: 0.1}) == 0.2
    assert typical({1: 0.0, 2: 0.0}) == 1e-6


def test_a_regret_is_the_share_above_the_best_of_its_own_task() -> None:
    found = {("a", 0): 0.2, ("b", 0): 0.3}
    assert regrets(found, {"a": 0.1, "b": 0.3}) == {("a", 0): pytest.approx(1.0), ("b", 0): 0.0}


def test_the_ratio_is_a_geometric_mean_in_which_every_task_counts_alike() -> None:
    ours = {**cells(1.0, 1.0, task="a"), **cells(1.0, task="b")}
    other = {**cells(4.0, 4.0, task="a"), **cells(0.25, task="b")}
    assert ratio(other, ours, 1)[0] == pytest.approx(1.0)
    assert ratio(ours, ours, 1) == (1.0, 1.0, 1.0)
    assert ratio(cells(2.0, 2.0), cells(1.0, 1.0), 1) == pytest.approx((2.0, 2.0, 2.0))


def test_the_interval_is_that_of_the_mean_and_wider_for_several_comparisons() -> None:
    values = [math.exp(0.1 * (-1) ** index) for index in range(100)]  # deviation of a mean: 0.01
    middle, low, high = ratio(cells(*values), cells(*[1.0] * 100), 1)
    assert (math.log(middle), math.log(low), math.log(high)) == pytest.approx((0, -0.0196, 0.0196), abs=0.002)
    wider = ratio(cells(*values), cells(*[1.0] * 100), 5)
    assert wider[1] < low and wider[2] > high


def test_only_cells_that_both_have_are_compared() -> None:
    assert ratio({("t", 0): 2.0, ("t", 9): 99.0}, {("t", 0): 1.0, ("t", 8): 1e-3}, 1)[0] == pytest.approx(2.0)
    assert ratio({("a", 0): 1.0}, {("b", 0): 1.0}, 1)[1:] == (0.0, math.inf)


@pytest.mark.parametrize(("other", "holds"), [((0.8, 0.82, 0.78), False), ((0.5, 2.0, 1.0), True), ((2, 2, 2), True)])
def test_the_target_is_missed_where_another_is_better_beyond_the_noise(other: Any, holds: bool) -> None:
    rows = summary({"ours": cells(1.0, 1.0, 1.0), "x": cells(*other)}, "ours", {"t": 0.5})
    row = target("sampler", rows)
    assert row["holds"] is holds
    assert "nearest: x" in row["name"]
    assert rows["ours"]["ratio"] is None
    assert rows["ours"]["regret"] == rows["ours"]["worst_regret"] == 1.0


def test_the_best_so_far_counts_what_has_ended_within_the_steps() -> None:
    trials = [
        {"status": COMPLETED, "score": 0.5, "steps": 150},
        {"status": PRUNED, "score": 0.1, "steps": 60},
        {"status": COMPLETED, "score": 0.3, "steps": 150},
    ]
    found = [best_so_far(trials, steps) for steps in (149, 150, 359, 360)]
    assert found == [math.inf, 0.5, 0.5, 0.3]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lr": 0.0098}, {"lr": 0.01}),
        ({"lr": 0.0131}, {"lr": 0.0133}),
        ({"loss_weights.b": 0.11}, {"loss_weights.b": 0.1}),
        ({"warmup_fraction": 0.02, "normalization.image": "per_kind"}, None),
        ({}, {}),
    ],
)
def test_a_cell_rounds_rates_and_weights_that_differ_from_todays(changes: Any, expected: Any) -> None:
    found = cell(TODAY.with_values(changes), TODAY).changes_from(TODAY)
    assert found == (changes if expected is None else expected)


def test_ours_are_those_of_a_run(tmp_path: Path) -> None:
    budget = BudgetSettings(20, 150, 5, 40, 3, 2, 5, 600, 1000)
    study = create_study("x", tmp_path, budget, 7)
    ours, pruner = SAMPLERS[OUR_SAMPLER], PRUNERS[OUR_PRUNER](150)
    axes = {"lr": FloatDistribution(1e-5, 1, log=True), "warmup_fraction": CategoricalDistribution((0.0, 0.1))}
    assert vars(pruner) == vars(study.pruner)
    assert proposals(study, axes) == proposals(optuna.create_study(sampler=ours(7)), axes)


def proposals(study: optuna.Study, axes: Any) -> list[dict[str, Any]]:
    found = []
    for _ in range(12):
        trial = study.ask(axes)
        study.tell(trial, abs(math.log10(trial.params["lr"]) + 2))
        found.append(trial.params)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The first task with few and short trials, and a short horizon."""
    start = replace(START, task=replace(START.task, horizon_steps=10))
    small = ("trials=5", "trial_steps=10", "range_steps=8", "range_seeds=1")
    return ground(start, 0.003, tmp_path_factory.mktemp("ground"), *(f"budget.{item}" for item in small))


def test_a_trial_is_trained_once_and_given_up_where_its_rungs_say(place: Ground) -> None:
    engine = Replay(place.table, place.today)
    spec = TrialSpec("explore", 0, place.today.with_values({"lr": 0.0101}), 0, 10, 5)
    whole, trained = engine.run_one(spec, never), place.table.trained_steps
    asked: list[int] = []

    def hopeless(step: int, evaluation: Evaluation) -> bool:
        asked.append(step)
        return step >= 4

    given_up = engine.run_one(replace(spec, params=place.today.with_values({"lr": 0.0099}), seed=2), hopeless)
    assert (whole.outcome.status, whole.steps_done) == (COMPLETED, 10)
    assert (given_up.outcome.status, given_up.steps_done, asked) == (PRUNED, 4, [2, 4])
    assert engine.steps == 14
    assert place.table.trained_steps == trained
    again = place.table.__class__(place.table.path, place.table.lab)
    assert again.known == place.table.known


def test_a_search_of_samplers_has_the_trials_and_one_of_pruners_the_steps(place: Ground) -> None:
    found = search(place, SAMPLER, "random", 1)
    assert len(found["trials"]) == 5 and found["proposals"] == 5 + found["repeated"]
    assert found["steps"] == sum(trial["steps"] for trial in found["trials"])
    assert 1 <= len(found["leading"]) <= 2
    for name in ("none", "all but the best quarter"):
        found = search(place, PRUNER, name, 1)
        assert 40 < found["steps"] <= 50
        assert all(trial["steps"] == 10 for trial in found["trials"]) or name != "none"
    assert search(place, SAMPLER, "random", 1) == search(place, SAMPLER, "random", 1)


def test_it_prints_both_tables_and_takes_what_is_kept(
    place: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(samplers, "ground", lambda start, lr, folder: place)
    monkeypatch.setattr(samplers, "RESULTS", tmp_path / "samplers.json")
    for methods, ours in (("SAMPLERS", OUR_SAMPLER), ("PRUNERS", OUR_PRUNER)):
        few = {name: make for name, make in getattr(samplers, methods).items() if name in (ours, "random", "none")}
        monkeypatch.setattr(samplers, methods, few)
    arguments = ["--only", START.name, "--seeds", "2", "--runs", str(tmp_path / "runs")]
    samplers.main(arguments)
    printed = capsys.readouterr().out
    assert printed.count("ours") >= 4 and "TPE, univariate" in printed and "median" in printed
    results = store.read_json(tmp_path / "samplers.json")
    assert len(results["targets"]) == 2 and set(results["sampler"]) == {OUR_SAMPLER, "random"}
    trained = place.table.trained_steps
    samplers.main(arguments)
    assert place.table.trained_steps == trained
    assert capsys.readouterr().out.splitlines()[1:] == printed.splitlines()[1:]
