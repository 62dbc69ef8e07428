from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.finding import ERROR, NOTE, Clean, Finding, NotApplicable
from preflight.rules.pf508_nonfinite_metrics import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
inf, nan = np.inf, np.nan
BROKEN = [1.0, 0.9, 0.8, *[inf] * 7]


def test_losses_that_cease_to_be_finite_are_named_with_the_epoch(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(history={"epoch": range(10), "train_loss": BROKEN, "val_loss": BROKEN}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "train_loss")
    assert answer.message == (
        "train_loss and val_loss are not finite from epoch 3 on: NaN or infinite in the last 7 of 10 epochs of the "
        "history"
    )


@pytest.mark.parametrize(
    ("tables", "where"),
    [
        ({"log": {"epoch": range(10), "loss": BROKEN}}, "loss"),
        ({"history": {"loss": [1.0, 0.9]}, "log": {"epoch": range(10), "loss": BROKEN}}, "loss"),
        ({"history": {"train_loss": [inf] * 4}}, "train_loss"),
        ({"history": {"train_loss": [1.0, 0.9, inf]}}, "train_loss"),  # where it stopped
        ({"history": {"train_loss": [1.0, inf, 0.9, inf]}}, "train_loss"),
        ({"history": {"train_loss": [1.0, nan, 0.9, nan, inf, nan]}}, "train_loss"),  # every second row
        ({"history": {"train_loss": [1.0, 0.9, 0.8, 0.7], "val_loss": [1.0, 0.9, inf, inf]}}, "val_loss"),
        ({"history": {"train_loss": [1.0, 0.9], "train_kl_loss": [1.0, inf]}}, "train_kl_loss"),
    ],
)
def test_a_loss_that_ends_without_a_finite_value_is_found(recorded: Recorded, tables: dict, where: str) -> None:
    answer = RULE.judge(recorded(**tables))
    assert isinstance(answer, Finding)
    assert answer.where == where


@pytest.mark.parametrize(
    "history",
    [
        {"train_loss": [1.0, 0.9, nan, nan]},  # nothing was saved
        {"train_loss": [inf, 1.0, 0.9]},  # a progress bar that had nothing to show yet
        {"train_loss": [1.0, 0.9, 0.8], "val_loss": [inf] * 3},  # no validation
        {"train_loss": [1.0] * 8, "val_loss": [inf, inf, 1.0, inf, inf, 0.9, inf, inf]},  # one every third epoch
        {"train_loss": [1.0] * 4, "val_loss": [1.0, inf, inf, inf]},
        {"train_loss": [1.0] * 3, "val_loss": [1.0, 0.9, inf]},
        {"train_loss": [1.0] * 3, "train_aux_loss": [inf] * 3},  # a part that there is not
        {"train_loss": [1.0] * 3, "val_f1": [inf] * 3},
    ],
)
def test_what_was_not_measured_is_clean(recorded: Recorded, history: dict[str, list[float]]) -> None:
    assert RULE.judge(recorded(history=history)) == Clean()


def test_a_training_loss_that_becomes_finite_again_is_a_note(recorded: Recorded) -> None:
    history = {"epoch": [1, 2, 3, 4], "train_loss": [1.0, 0.9, inf, 0.8], "val_loss": [1.0, inf, 0.9, 0.9]}
    answer = RULE.judge(recorded(history=history))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (NOTE, "train_loss")
    assert answer.message.startswith("train_loss is not finite in 1 of 4 epochs of the history, first in epoch 3, and ")


def test_without_a_saved_loss_there_is_nothing_to_judge(recorded: Recorded) -> None:
    missing = NotApplicable("there is no history and no log with a loss")
    assert RULE.judge(recorded(losses={"total": [1.0]})) == missing
    assert RULE.judge(recorded(history={"acc": [0.5]})) == missing
