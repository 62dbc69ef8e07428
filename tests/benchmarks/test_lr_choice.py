from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from benchmarks.lr_choice import joined, main
from benchmarks.lr_loop import counted, train, train_with
from benchmarks.lr_peers.base import Question, Rows, loss_of
from benchmarks.lr_peers.search import RATES, budget_grid, plain_tpe, random_search
from benchmarks.lr_tasks import TASKS
from benchmarks.lr_tasks.base import GRID, Batch, LrTask, NamedLoss
from benchmarks.lr_truth import Truth, measure
from benchmarks.lr_verdict import Suggestion, Verdict, judge, targets
from torch import nn

from benchmarks import lr_choice

VALLEY = Truth({1e-4: [4.0, 4.0, 4.0], 1e-3: [2.0, 1.0, 0.9], 1e-2: [2.0, 2.0, 0.8], 1e-1: [math.inf] * 3})


def make_split() -> tuple[Batch, Batch]:
    x = torch.linspace(-1, 1, 64).unsqueeze(1)
    return {"x": x, "y": 3 * x}, {"x": x[::4], "y": 3 * x[::4]}


def line(**values: Any) -> LrTask:
    settings: dict[str, Any] = {
        "name": "line",
        "model": lambda: nn.Linear(1, 1),
        "data": make_split,
        "losses": (NamedLoss("mse", F.mse_loss),),
        "inputs": ("x",),
        "targets": ("y",),
        "optimizer": torch.optim.SGD,
        "batch_size": 16,
        "horizon_steps": 40,
    }
    return LrTask(**{**settings, **values})


def question(tmp_path: Path, budget: int) -> Question:
    return Question(line(), 0, VALLEY, budget, tmp_path)


def test_the_best_rate_is_that_of_the_lowest_median() -> None:
    assert VALLEY.best_lr == 1e-3
    assert VALLEY.best_loss == 1.0
    assert VALLEY.seeds_pick == [1e-3, 1e-3, 1e-2]


def test_decades_are_counted_to_the_best_rate_on_both_sides_and_to_a_better_one_between() -> None:
    fine = Truth(VALLEY.losses, {3e-3: [0.5, 0.5, 0.5]})
    for lr, off, finer in ((1e-3, 0.0, 0.477), (1e-1, 2.0, 1.523), (1e-5, 2.0, 2.477)):
        verdict = judge("tool", [Suggestion(lr, 1)], fine)
        assert verdict.decades == pytest.approx(off)
        assert verdict.fine_decades == pytest.approx(finer, abs=1e-3)


def test_between_two_rates_the_loss_lies_on_the_line_of_the_logarithms() -> None:
    assert VALLEY.regret(1e-3) == 0
    assert VALLEY.loss_at(math.sqrt(1e-7)) == pytest.approx(2.0)  # halfway from 4 to 1
    assert VALLEY.regret(1e-2) == pytest.approx(1.0)


def test_beyond_the_grid_the_last_rate_counts_and_beside_a_lost_one_all_is_lost() -> None:
    assert VALLEY.loss_at(1e-9) == 4.0
    assert VALLEY.regret(5e-2) == math.inf
    assert VALLEY.loss_at(10.0) == math.inf


def test_rates_measured_in_between_are_taken_for_the_loss_and_not_for_what_is_best() -> None:
    fine = Truth(VALLEY.losses, {3e-3: [0.5, 0.5, 0.5]})
    assert fine.best_lr == 1e-3
    assert fine.fine_best_lr == 3e-3
    assert fine.regret(3e-3) == pytest.approx(-0.5)


def test_rates_as_good_as_the_best_end_where_one_is_not() -> None:
    truth = Truth({1e-4: [1.0], 1e-3: [2.0], 1e-2: [1.04], 1e-1: [1.0], 1.0: [1.2]})
    assert truth.best_lr == 1e-4
    assert truth.as_good == (1e-4, 1e-4)
    assert Truth({lr: values for lr, values in truth.losses.items() if lr > 1e-4}).as_good == (1e-2, 1e-1)


def test_a_verdict_is_the_median_and_the_worst() -> None:
    given = [Suggestion(lr, steps) for lr, steps in ((1e-3, 100), (1e-2, 300), (1e-3, 200))]
    verdict = judge("tool", given, VALLEY)
    assert (verdict.decades, verdict.worst_decades) == (0, pytest.approx(1))
    assert (verdict.regret, verdict.worst_regret) == (0, pytest.approx(1))
    assert (verdict.steps, verdict.failed) == (200, 0)


def test_no_suggestion_is_infinitely_far_off_and_says_why() -> None:
    given = [Suggestion(None, 0, "ImportError: none"), Suggestion(None, 0, "ImportError: none"), Suggestion(1e-3, 9)]
    verdict = judge("tool", given, VALLEY)
    assert verdict.decades == math.inf
    assert verdict.regret == math.inf
    assert verdict.failed == 2
    assert verdict.errors == ("ImportError: none",)


def test_what_needs_no_rate_is_judged_by_its_loss_alone() -> None:
    verdict = judge("free", [Suggestion(None, 40, loss=1.5), Suggestion(None, 40, loss=3.0)], VALLEY)
    assert verdict.decades is None
    assert (verdict.regret, verdict.worst_regret) == (pytest.approx(1.25), pytest.approx(2))
    assert verdict.failed == 0


@pytest.mark.parametrize(
    ("ours", "peer", "held"),
    [
        ((0.25, 0.5, 0.05), 0.05, [True, True, True, True]),
        ((0.26, 0.51, 0.06), 0.04, [False, False, False, False]),
        ((0.1, 0.1, 0.01), 0.0, [True, True, True, True]),  # no difference that the seeds could tell
        ((0.1, 0.1, math.inf), math.inf, [True, True, False, True]),
    ],
)
def test_targets(ours: tuple[float, float, float], peer: float, held: list[bool]) -> None:
    median, worst, regret = ours
    found = [
        Verdict("preflight", (1e-3,), median, worst, median, regret, regret, 9, 0),
        Verdict("fastai valley", (1e-3,), 0.0, 0.0, 0.0, peer, peer, 9, 0),
    ]
    assert [row["holds"] for row in targets({"a": found})] == held
    assert len(targets({"a": found[:1]})) == 3
    assert targets({"a": found[1:]}) == []


def test_the_loop_trains_with_the_schedule_inside_and_the_same_seed_gives_the_same_loss() -> None:
    task = line(schedule="linear", warmup_fraction=0.1)
    assert [task.factor(step, 10) for step in (0, 1, 5)] == [1.0, 1.0, pytest.approx(5 / 9)]
    assert task.factor(0, 40) == pytest.approx(0.25)
    assert train(task, 0.1, 3) == train(task, 0.1, 3)
    assert train(task, 0.1, 3) != train(task, 0.1, 4)
    assert train(task, 0.3, 3) < train(task, 1e-4, 3)


def test_a_run_that_diverges_has_an_infinite_loss_and_steps_of_any_optimizer_are_counted() -> None:
    with counted() as steps:
        assert train(line(horizon_steps=4000), 100.0, 0) == math.inf
    assert 0 < steps.done < 4000
    with counted() as steps:
        train(line(), 0.1, 0)
    train(line(), 0.1, 0)
    assert steps.done == 40


def test_an_optimizer_that_is_switched_is_evaluated_in_its_evaluation_mode() -> None:
    switched = []

    class Switched(torch.optim.SGD):
        def train(self) -> None:
            switched.append("train")

        def eval(self) -> None:
            switched.append("eval")

    train_with(line(), lambda parameters: Switched(parameters, lr=0.1), 0)
    assert switched == ["train", "eval"]


def test_weighted_losses_of_named_outputs_add_up() -> None:
    losses = (NamedLoss("a", F.mse_loss, 2.0, "one", "y"), NamedLoss("b", F.l1_loss, 1.0, "two", "x"))
    task = line(losses=losses, targets=("y", "x"))
    y, x = torch.full((3, 1), 2.0), torch.full((3, 1), 5.0)
    output = {"one": torch.zeros(3, 1), "two": torch.zeros(3, 1)}
    assert loss_of(task)(output, y, x).item() == pytest.approx(2 * 4 + 5)
    assert len(Rows(task)[0]) == 3


def test_the_truth_is_trained_once(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    with counted() as first:
        truth = measure(line(), path, 2)
    with counted() as second:
        again = measure(line(), path, 2)
    assert first.done > 0
    assert second.done == 0
    assert again == truth
    assert set(truth.losses) == set(GRID)
    assert truth.regret(truth.best_lr) == 0


@pytest.mark.parametrize("tool", [budget_grid, random_search, plain_tpe])
@pytest.mark.parametrize("budget", [220, 1100])
def test_a_plain_search_keeps_to_its_budget(tool: Any, budget: int, tmp_path: Path) -> None:
    (answer,) = tool(question(tmp_path, budget)).values()
    assert answer.lr is not None
    assert min(RATES) <= answer.lr <= max(RATES)
    assert 0.7 * budget <= answer.steps <= budget


def test_every_task_is_what_a_loop_can_train() -> None:
    pytest.importorskip("mnist1d")
    for task in TASKS:
        assert math.isfinite(train(task, 1e-3, 0, steps=2))


def test_a_peer_that_does_not_work_stands_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Question) -> Any:
        raise ImportError("no such thing")

    monkeypatch.setattr(lr_choice, "TASKS", (line(name=TASKS[0].name),))
    monkeypatch.setattr(lr_choice, "TOOLS", {"broken": broken, "random search": lambda q: {"r": Suggestion(0.1, 5)}})
    monkeypatch.setattr(lr_choice, "RESULTS", tmp_path / "results.json")
    main(["--only", TASKS[0].name, "--quick", "--runs", str(tmp_path)])
    text = capsys.readouterr().out
    assert "2 failed: ImportError: no such thing" in text
    assert "0.1, 0.1" in text
    assert not (tmp_path / "results.json").exists()


def test_tools_that_were_not_run_keep_their_figures_as_long_as_the_truth_is_the_same() -> None:
    kept = {"curve": {"0.1": 1.0}, "tools": [{"tool": "a", "steps": 1}, {"tool": "b", "steps": 1}]}
    found = {"curve": {"0.1": 1.0}, "tools": [{"tool": "b", "steps": 2}]}
    assert joined(kept, found)["tools"] == [{"tool": "a", "steps": 1}, {"tool": "b", "steps": 2}]
    assert joined(kept, {**found, "curve": {"0.1": 1.1}})["tools"] == found["tools"]
    assert joined(None, found) == found


def test_a_wrong_task_ends_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--only", "nothing"])
    assert stopped.value.code == 2
    assert "nothing" in capsys.readouterr().err
