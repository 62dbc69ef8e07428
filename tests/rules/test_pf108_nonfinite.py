from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.finding import ERROR, Clean, Finding, NotApplicable
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
    assert answer.message == outcome["reason"]
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
