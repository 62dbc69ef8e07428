from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules.pf108_nonfinite import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
nan, inf = np.nan, np.inf
PARAMS = Params(lr=0.1, batch_size=8)


def test_what_the_trial_found_is_told_with_batch_and_samples(recorded: Recorded) -> None:
    outcome = {
        "status": "diverged",
        "reason": "the gradient of 'qkv.weight' is not finite at step 12",
        "step": 12,
        "batch": 2,
        "culprit": "qkv.weight",
        "samples": [7, 9],
    }
    answer = RULE.judge(recorded(PARAMS, info={"outcome": outcome}, losses={"total": np.ones(13)}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where, answer.step) == (ERROR, "qkv.weight", 12)
    assert answer.message == "the gradient of 'qkv.weight' is not finite at step 12 (batch 2 of its epoch)"
    assert [item.value for item in answer.evidence] == [12, 2, "7, 9"]
    assert answer.remedies[-1].settings == {"lr": pytest.approx(0.01)}


def test_before_the_first_update_no_learning_rate_is_to_blame(recorded: Recorded) -> None:
    outcome = {"status": "diverged", "step": 0, "culprit": "mse"}
    answer = RULE.judge(recorded(PARAMS, info={"outcome": outcome}))
    assert isinstance(answer, Finding)
    assert all(not remedy.settings for remedy in answer.remedies)


@pytest.mark.parametrize("bad", [nan, inf])
def test_of_a_run_of_another_tool_the_tables_tell(bad: float, recorded: Recorded) -> None:
    norms = {"overall": np.ones(9), "body": np.ones(9), "head": np.ones(9)}
    losses = {"total": np.ones(9), "mse": np.ones(9)}
    for column, first in ((norms["overall"], 4), (norms["head"], 4), (losses["total"], 5), (losses["mse"], 5)):
        column[first:] = bad
    answer = RULE.judge(recorded(gradient_norms=norms, losses=losses))
    assert isinstance(answer, Finding)
    assert (answer.where, answer.step) == ("head", 4)
    assert answer.message == "the gradient of 'head' is not finite at step 4"


def test_a_loss_alone_is_named_by_its_part(recorded: Recorded) -> None:
    losses = {"total": [1.0, nan], "mse": [1.0, 1.0], "l1": [1.0, nan]}
    answer = RULE.judge(recorded(losses=losses))
    assert isinstance(answer, Finding)
    assert answer.where == "l1"


@pytest.mark.parametrize(
    "tables",
    [
        {"losses": {"total": [1.0, 2.0], "val_mse": [nan, 1.0]}},  # evaluated now and then
        {"gradient_norms": {"overall": [1.0, 2.0], "frozen": [nan, nan]}},
        {"losses": {"total": []}},
    ],
)
def test_what_was_not_measured_is_not_broken(tables: dict[str, dict[str, list[float]]], recorded: Recorded) -> None:
    assert RULE.judge(recorded(**tables)) == Clean()


@pytest.mark.parametrize("status", ["completed", "pruned", "crashed"])
def test_another_end_is_clean(status: str, recorded: Recorded) -> None:
    info = {"outcome": {"status": status, "step": 3}}
    assert RULE.judge(recorded(info=info, losses={"total": [1.0]})) == Clean()


def test_without_losses_and_norms_there_is_nothing_to_judge(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("there is neither gradient_norms.csv nor losses.csv")


@pytest.mark.parametrize("rows", [[5], [0], list(range(1, 100, 2)), [98, 99]])
def test_an_empty_cell_was_not_measured(rows: list[int], foreign: Recorded) -> None:
    norms = np.ones(100)
    norms[rows] = nan
    assert RULE.judge(foreign(gradient_norms={"overall": norms, "loss": norms})) == Clean()


def test_cells_that_are_empty_from_some_row_on_may_be_nan(foreign: Recorded) -> None:
    norms = np.where(np.arange(100) < 90, 1.0, nan)
    answer = RULE.judge(foreign(gradient_norms={"overall": norms, "body": np.ones(100)}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where, answer.step) == (WARNING, "overall", 90)


@pytest.mark.parametrize(
    ("table", "column"),
    [("weight_deltas", "body_delta"), ("learning_rates", "lr_group0"), ("head_stats", "weight_mean")],
)
def test_of_another_tool_every_table_is_looked_at(table: str, column: str, foreign: Recorded) -> None:
    values = np.ones(30)
    values[10] = inf
    answer = RULE.judge(foreign(**{table: {column: values, "step": 100 * np.arange(30)}}))
    assert isinstance(answer, Finding)
    assert (answer.where, answer.step) == (column, 1000)


def test_what_is_never_finite_is_frozen_beside_others_and_broken_alone(foreign: Recorded) -> None:
    never = np.full(30, inf)
    assert RULE.judge(foreign(gradient_norms={"overall": np.ones(30), "body": never})) == Clean()
    answer = RULE.judge(foreign(gradient_norms={"overall": never, "body": never}))
    assert isinstance(answer, Finding)
    assert answer.step == 0


def test_before_the_first_row_there_is_no_change(foreign: Recorded) -> None:
    assert RULE.judge(foreign(weight_deltas={"body_delta": [inf, 1.0, 1.0]})) == Clean()
