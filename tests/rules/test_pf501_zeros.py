from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf501_zeros import METRIC_EPOCHS, RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
ZEROS = [0.0] * 15
LOG = {"epoch": [1, 2, 3, 4], "train_loss": [9.1621, 8.7352, 8.2003, 7.535], "train_top1": [0.0, 0.6, 2.42, 3.88]}


def test_zeros_that_the_log_denies_were_reset_before_they_were_saved(recorded: Recorded) -> None:
    history = {"train_loss": ZEROS, "train_top1_acc": ZEROS, "val_loss": [9.5393] * 15, "val_top1_acc": ZEROS}
    answer = RULE.judge(recorded(history=history, log=LOG))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert answer.where == "train_loss"
    assert "train_loss and train_top1_acc are 0.0 in all 15 epochs of the history" in answer.message
    assert "train_loss goes from 9.1621 to 7.535; train_top1 goes from 0 to 3.88" in answer.message
    assert answer.message.endswith("; val_top1_acc is zero throughout as well")


def test_nothing_is_said_against_means_weighted_by_samples(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(history={"train_loss": ZEROS}, log=LOG))
    assert isinstance(answer, Finding)
    for remedy in answer.remedies:
        assert not any(word in remedy.text for word in ("weight", "batch", "sample", "divide"))


@pytest.mark.parametrize("name", ["loss", "train_loss", "val_loss", "eval_loss"])
def test_a_loss_of_zero_from_the_first_epoch_on_is_a_fault_without_a_log(recorded: Recorded, name: str) -> None:
    answer = RULE.judge(recorded(history={name: [0.0] * 3}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, name)


@pytest.mark.parametrize("epochs", [int(METRIC_EPOCHS.value), 40])
def test_an_accuracy_that_is_never_right_is_a_warning(recorded: Recorded, epochs: int) -> None:
    history = {"val_loss": np.linspace(2, 1, epochs), "val_acc": [0.0] * epochs}
    answer = RULE.judge(recorded(history=history))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "val_acc")


@pytest.mark.parametrize(
    "history",
    [
        {"train_loss": [6.9, 6.8, 6.7], "val_top1": [0.0, 0.0, 0.01]},
        {"train_loss": [0.0, 0.0, 0.0], "train_acc": [1.0, 1.0, 1.0]},  # rounded, of what is known by heart
        {"loss": [2.0, 1.0, 0.5], "kl_loss": [0.0, 0.0, 0.0]},  # a part that is switched off
        {"loss": [2.0, 0.0, 0.0, 0.0]},
        {"val_error": [0.0] * 20, "val_loss": [0.1] * 20},  # no error at all
        {"train_loss": [1.0, 0.4, 0.1, 0.02, 0.0, 0.0, 0.0], "train_acc": [0.5, 0.8, 0.9, 1.0, 1.0, 1.0, 1.0]},
        {"train_loss": [0.5, *[0.0] * 9], "val_loss": [0.6, 0.5, *[0.4] * 8]},  # a hinge that nothing touches
        {"train_loss": [2.0, *[0.01] * 3, *[0.0] * 9], "val_loss": np.linspace(2.0, 1.0, 13)},  # rounded
        {"loss": np.linspace(2.0, 1.0, 12), "kl_loss": [0.5, 0.5, *[0.0] * 10]},  # a part that was switched off
        {"val_loss": [2.0, 0, 0, 0, 1.5, 0, 0, 0], "val_acc": [0.3, 0, 0, 0, 0.5, 0, 0, 0]},  # every fourth epoch
        {"val_loss": [2.0, 1.0, 0.5, 0.0, 0.0, 0.0], "val_error": [0.5, 0.2, 0.1, 0.0, 0.0, 0.0]},
        {"train_loss": [6.9, 6.8, 6.7, 6.5], "val_top1": [0.0, 0.0, 0.0, 0.1]},
    ],
)
def test_healthy_zeros_are_clean(recorded: Recorded, history: dict[str, list[float]]) -> None:
    assert RULE.judge(recorded(history=history)) == Clean()


@pytest.mark.parametrize(
    ("history", "missing"),
    [
        ({"loss": [0.0]}, "loss, 0.0 throughout, has 1 epoch, 3 are needed"),
        (
            {"train_loss": [6.9, 6.8, 6.7, 6.5, 6.1], "val_top1": [0.0] * 5},  # 1000 classes, at first
            "val_top1, 0.0 throughout, has 5 epochs, 10 are needed",
        ),
    ],
)
def test_zeros_in_too_few_epochs_are_not_clean(
    recorded: Recorded, history: dict[str, list[float]], missing: str
) -> None:
    assert RULE.judge(recorded(history=history)) == NotApplicable(missing)


PART = [2.0, 1.5, 1.0, 0.5, *[0.0] * 11]


@pytest.mark.parametrize(
    ("history", "named"),
    [
        (
            {
                "train_loss": PART,
                "val_loss": [2.0, 1.6, 1.1, 0.9, *[0.0] * 11],
                "val_acc": [0.1, 0.3, 0.5, 0.7, *[0.0] * 11],
            },
            "val_loss, train_loss and val_acc are exactly 0.0 in the last 11 of 15 epochs, from epoch 4 on, after ",
        ),
        (
            {"train_loss": [9.1, *[0.0] * 14], "val_loss": np.linspace(9.1, 7.7, 15)},
            "train_loss is exactly 0.0 in the last 14 of 15 epochs, from epoch 1 on, after a train_loss of 9.1: ",
        ),
    ],
)
def test_zeros_from_some_epoch_on_are_found_where_they_cannot_be(
    recorded: Recorded, history: dict[str, list[float]], named: str
) -> None:
    answer = RULE.judge(recorded(history={"epoch": range(15), **history}))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert answer.message.startswith(named)


def test_a_part_of_the_loss_is_not_the_only_loss_of_the_log(recorded: Recorded) -> None:
    total = [2.5, 2.0, 1.5, 1.0]
    recording = recorded(history={"loss": total, "kl_loss": [0.0] * 4}, log={"epoch": range(4), "loss": total})
    assert RULE.judge(recording) == Clean()


def test_a_log_that_is_zero_as_well_denies_nothing(recorded: Recorded) -> None:
    recording = recorded(history={"val_acc": [0.0] * 3}, log={"epoch": [0, 1, 2], "val_acc": [0.0] * 3})
    assert RULE.judge(recording) == NotApplicable("val_acc, 0.0 throughout, has 3 epochs, 10 are needed")


def test_without_a_history_there_is_nothing_to_judge(recorded: Recorded) -> None:
    assert RULE.judge(recorded(log=LOG)) == NotApplicable("there is no history with a loss or a metric")
