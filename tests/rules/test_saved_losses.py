"""Losses of a history or a log, and PF402 of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.finding import WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf402_flat import RULE
from preflight.rules.saved_losses import epochs_of, has_no_steps, is_level, whole_losses
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
EPOCHS = 15
TRAINING = np.linspace(275959, 275825, EPOCHS)
VALIDATION = np.linspace(207225, 206622, EPOCHS)
FLAT = {"train_loss": TRAINING, "val_loss": VALIDATION}


@pytest.mark.parametrize("first", [0, 1])
def test_losses_that_go_nowhere_are_a_warning(recorded: Recorded, first: int) -> None:
    answer = RULE.judge(recorded(log={"epoch": np.arange(EPOCHS) + first, **FLAT}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "train_loss")
    assert answer.message == (
        "over 15 epochs train_loss goes from 275959 to 275825 and val_loss goes from 207225 to 206622, -0.05%, -0.29%: "
        "nothing is learned, unless all was before the first of them"
    )


@pytest.mark.parametrize(
    "series",
    [
        {"epoch": np.arange(EPOCHS) + 30, **FLAT},  # resumed
        {"train_loss": TRAINING, "val_loss": np.linspace(2.0, 1.0, EPOCHS)},
        {**FLAT, "val_acc": np.linspace(0.1, 0.4, EPOCHS)},
        {**FLAT, "val_acc": [0.93] * EPOCHS},
        {**FLAT, "val_mae": np.linspace(2.0, 1.0, EPOCHS)},
        {"train_loss": np.linspace(3.10, 3.05, EPOCHS)},  # slowly
        {"train_loss": [0.1] * EPOCHS},  # rounded
        {"train_loss": [0.0] * EPOCHS},
        {"train_loss": 2.0 + 0.1 * np.random.default_rng(0).normal(size=EPOCHS)},
    ],
)
def test_what_moves_or_has_reason_not_to_is_clean(recorded: Recorded, series: dict[str, np.ndarray]) -> None:
    assert RULE.judge(recorded(history={"epoch": np.arange(EPOCHS), **series})) == Clean()


def test_a_few_epochs_are_too_few(recorded: Recorded) -> None:
    few = {"epoch": range(5), "train_loss": TRAINING[:5]}
    assert RULE.judge(recorded(history=few)) == NotApplicable("5 epochs are too few to tell: it takes 8")
    unknown = {"epoch": [np.nan] * EPOCHS, "train_loss": TRAINING}
    assert RULE.judge(recorded(log=unknown)) == NotApplicable("0 epochs are too few to tell: it takes 8")


def test_a_loss_is_whole_by_its_name_or_as_the_only_one(recorded: Recorded) -> None:
    history = {"loss": [1.0], "kl_loss": [1.0], "val_ce_loss": [1.0]}
    log = {"a_loss": [1.0], "b_loss": [1.0]}
    assert [item.name for item in whole_losses(recorded(history=history, log=log))] == ["loss", "val_ce_loss"]


def test_several_values_of_an_epoch_are_one(recorded: Recorded) -> None:
    (item,) = whole_losses(recorded(log={"epoch": [1, 1, 2, 2.5], "loss": [3.0, 1.0, 1.0, 0.5]}))
    assert (item.epochs.tolist(), item.values.tolist(), epochs_of([item])) == ([1, 2], [2, 0.75], 2)


def test_steps_are_told_by_losses_alone(recorded: Recorded) -> None:
    assert has_no_steps(recorded(history={"loss": [1.0]}))
    assert not has_no_steps(recorded(history={"loss": [1.0]}, losses={"total": [1.0]}))
    assert not has_no_steps(recorded(gradient_norms={"overall": [1.0]}))


@pytest.mark.parametrize(
    ("values", "level"),
    [([2.31, 2.302, 2.309, 2.3011], True), ([2.3, 2.29, 2.28, 2.27], False), ([0.1] * 9, False), ([], False)],
)
def test_a_level_loss_spans_little_and_does_not_fall(values: list[float], level: bool) -> None:
    assert is_level(np.array(values)) == level
