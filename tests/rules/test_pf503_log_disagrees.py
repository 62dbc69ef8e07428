from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf503_log_disagrees import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
EPOCHS = 15
FALLING = 2.0 * 0.85 ** np.arange(EPOCHS) + 0.1


def log(values: np.ndarray, per_epoch: int = 1, first: int = 1, **others: np.ndarray) -> dict[str, np.ndarray]:
    epochs = np.repeat(np.arange(len(values) // per_epoch) + first, per_epoch)
    return {"epoch": epochs, "train_loss": values, **others}


def test_a_history_that_stands_still_while_the_log_moves_is_an_error(recorded: Recorded) -> None:
    moving = np.array([9.1621, 8.7352, 8.2003, 7.535])
    history = {"train_loss": [0.0] * EPOCHS, "train_top1_acc": [0.0] * EPOCHS}
    answer = RULE.judge(recorded(history=history, log=log(moving, train_top1=np.array([0, 0.6, 2.42, 3.88]))))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR
    assert answer.message == (
        "train_loss is 0 in all 15 epochs of the history and goes from 9.1621 to 7.535 in the log; train_top1_acc "
        "disagrees as well"
    )


def test_four_lines_of_one_epoch_are_enough(recorded: Recorded) -> None:
    moving = np.array([9.1621, 8.7352, 8.2003, 7.535])
    answer = RULE.judge(recorded(history={"train_loss": [0.0] * EPOCHS}, log=log(moving, per_epoch=4)))
    assert isinstance(answer, Finding)


@pytest.mark.parametrize("factor", [0.1, 10, 1000])
def test_a_sum_in_place_of_a_mean_is_found(recorded: Recorded, factor: float) -> None:
    answer = RULE.judge(recorded(history={"train_loss": factor * FALLING}, log=log(FALLING)))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING
    assert f"of {EPOCHS} epochs disagree" in answer.message


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("digits", [4, 2])
def test_rounded_values_of_either_numbering_agree(recorded: Recorded, first: int, digits: int) -> None:
    recording = recorded(
        history={"epoch": np.arange(EPOCHS), "train_loss": FALLING}, log=log(FALLING.round(digits), first=first)
    )
    assert RULE.judge(recording) == Clean()


@pytest.mark.parametrize("seed", range(20))
def test_healthy_ways_to_print_agree(recorded: Recorded, seed: int) -> None:
    """Batches with noise, running means, the last batch alone, a log that was cut off, shares against percentages."""
    generator = np.random.default_rng(seed)
    rate = generator.uniform(0.5, 0.99)
    steps = 2.0 * rate ** (np.arange(EPOCHS * 20) / 20) * np.exp(0.3 * generator.normal(size=EPOCHS * 20))
    epochs = steps.reshape(EPOCHS, 20)
    accuracy = 1 - rate ** np.arange(EPOCHS)
    history = {"epoch": np.arange(EPOCHS), "train_loss": epochs.mean(axis=1), "train_acc": accuracy}
    running = np.cumsum(epochs, axis=1) / np.arange(1, 21)
    logs = [
        log(steps, 20),
        log(running.ravel(), 20),
        log(epochs[:, -1]),
        log(epochs.mean(axis=1)[:4]),
        log(epochs.mean(axis=1), train_acc=100 * accuracy),
    ]
    assert [RULE.judge(recorded(history=history, log=item)) for item in logs] == [Clean()] * len(logs)


def test_a_log_that_begins_later_is_not_laid_beside_the_history(recorded: Recorded) -> None:
    assert RULE.judge(recorded(history={"train_loss": FALLING}, log=log(0.1 * FALLING, first=30))) == Clean()


def test_what_only_one_of_them_has_is_not_compared(recorded: Recorded) -> None:
    recording = recorded(history={"val_acc": [0.1] * EPOCHS}, log=log(FALLING))
    assert RULE.judge(recording) == Clean()


@pytest.mark.parametrize(
    ("tables", "missing"),
    [
        ({"history": {"loss": [1.0]}}, "there is no log with a loss or a metric"),
        ({"log": {"loss": [1.0]}}, "there is no history with a loss or a metric"),
    ],
)
def test_without_both_there_is_nothing_to_compare(
    recorded: Recorded, tables: dict[str, dict[str, list[float]]], missing: str
) -> None:
    assert RULE.judge(recorded(**tables)) == NotApplicable(missing)
