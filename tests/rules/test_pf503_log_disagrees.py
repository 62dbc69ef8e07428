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


HELD_OUT = 2.3 * 0.91 ** np.arange(EPOCHS) + 0.2
RIGHT = 0.98 - 0.88 * 0.9 ** np.arange(EPOCHS)


def printed(**series: np.ndarray) -> dict[str, np.ndarray]:
    return {"epoch": np.arange(EPOCHS) + 1, **series}


@pytest.mark.parametrize(
    ("name", "saved", "other"),
    [
        ("val_loss", HELD_OUT, 1.15 * HELD_OUT),
        ("val_loss", HELD_OUT, HELD_OUT + 0.4),
        ("val_acc", RIGHT, RIGHT - 0.12),
        ("val_acc", RIGHT, 100 * RIGHT - 12),
        ("val_acc", RIGHT, RIGHT[::-1]),
    ],
)
def test_a_validation_is_one_value_that_both_have(
    recorded: Recorded, name: str, saved: np.ndarray, other: np.ndarray
) -> None:
    answer = RULE.judge(recorded(history={"epoch": range(EPOCHS), name: saved}, log=printed(**{name: other.round(4)})))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, name)


@pytest.mark.parametrize("seed", range(20))
def test_healthy_ways_to_print_a_validation_agree(recorded: Recorded, seed: int) -> None:
    """Rounded, an epoch late, a mean of batches whose last one is short, of every process, of the last batch."""
    generator = np.random.default_rng(seed)
    batches = HELD_OUT[:, None] * np.exp(0.3 * generator.normal(size=(EPOCHS, 12)))
    saved = (32 * batches[:, :-1].sum(axis=1) + 8 * batches[:, -1]) / (32 * 11 + 8)
    epochs = np.arange(EPOCHS) + 1
    logs = [
        printed(val_loss=saved.round(2)),
        printed(val_loss=np.concatenate([saved[:1], saved[:-1]])),
        printed(val_loss=batches.mean(axis=1)),
        {"epoch": np.repeat(epochs, 12), "val_loss": batches.ravel()},
        printed(val_loss=batches[:, -1].clip(0.8 * saved, 1.2 * saved), step=np.full(EPOCHS, 12)),
        printed(test_loss=1.15 * saved),  # other samples
    ]
    answers = [RULE.judge(recorded(history={"epoch": epochs - 1, "val_loss": saved}, log=item)) for item in logs]
    assert answers == [Clean()] * len(logs)


def test_small_losses_that_are_rounded_to_nothing_agree(recorded: Recorded) -> None:
    saved = 0.1 * HELD_OUT**4
    history = {"epoch": range(EPOCHS), "val_loss": saved}
    assert RULE.judge(recorded(history=history, log=printed(val_loss=saved.round(1)))) == Clean()


def test_training_and_validation_in_each_others_place_are_named(recorded: Recorded) -> None:
    log_of_both = printed(train_loss=FALLING.round(4), val_loss=HELD_OUT.round(4))
    history = {"epoch": range(EPOCHS), "train_loss": HELD_OUT, "val_loss": FALLING}
    answer = RULE.judge(recorded(history=history, log=log_of_both))
    assert isinstance(answer, Finding)
    assert answer.message == (
        "train_loss and val_loss of the history are in each other's place: in all 15 epochs each is what the log shows "
        "of the other"
    )
    right = {"epoch": range(EPOCHS), "train_loss": FALLING, "val_loss": HELD_OUT}
    assert RULE.judge(recorded(history=right, log=log_of_both)) == Clean()


@pytest.mark.parametrize("part", [{"train_recon_loss": 0.2, "train_kl_loss": 0.8}, {"train_box_loss": 0.02}])
def test_parts_of_a_loss_are_not_held_against_its_whole(recorded: Recorded, part: dict[str, float]) -> None:
    parts = {name: share * FALLING for name, share in part.items()}
    history = {"epoch": range(EPOCHS), "train_loss": FALLING, **parts}
    assert RULE.judge(recorded(history=history, log=printed(loss=FALLING))) == Clean()


def test_a_log_that_begins_later_is_not_laid_beside_the_history(recorded: Recorded) -> None:
    missing = NotApplicable("what history and log both tell has 0 epochs, 3 are needed")
    assert RULE.judge(recorded(history={"train_loss": FALLING}, log=log(0.1 * FALLING, first=30))) == missing


def test_what_only_one_of_them_has_is_not_compared(recorded: Recorded) -> None:
    recording = recorded(history={"val_acc": [0.1] * EPOCHS}, log=log(FALLING))
    assert RULE.judge(recording) == NotApplicable("no loss and no metric is in both the history and the log")


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
