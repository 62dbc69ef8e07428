"""PF401 of a history or a log."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf401_constant import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
EPOCHS = 15
TEN = {"classes": 10}
FALLING = np.linspace(2.3, 1.0, EPOCHS)


def around(level: float, noise: float, seed: int = 0, size: int = EPOCHS) -> np.ndarray:
    return (level + noise * np.random.default_rng(seed).normal(size=size)).round(4)


STUCK = {"train_loss": around(2.3026, 0.002), "val_loss": around(2.3026, 0.001, 1), "val_acc": around(0.1, 0.002, 2)}


def by_epoch(series: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"epoch": np.arange(len(next(iter(series.values())))), **series}


@pytest.mark.parametrize("table", ["history", "log"])
@pytest.mark.parametrize("facts", [TEN, {}])
def test_losses_and_an_accuracy_of_guessing_are_found(recorded: Recorded, table: str, facts: dict[str, int]) -> None:
    answer = RULE.judge(recorded(facts=facts, **{table: by_epoch(STUCK)}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "train_loss")
    ends = {name: f"{values[-1]:g}" for name, values in STUCK.items()}
    assert answer.message.startswith(
        f"after 15 epochs train_loss ends at {ends['train_loss']} and val_loss ends at {ends['val_loss']}, "
        f"val_acc at {ends['val_acc']}: that is guessing among 10 classes, ln(10) = 2.303"
    )


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_the_losses_alone_are_enough_where_the_classes_are_given(recorded: Recorded, classes: int) -> None:
    history = by_epoch({"loss": around(np.log(classes), 0.002)})
    assert isinstance(RULE.judge(recorded(facts={"classes": classes}, history=history)), Finding)
    assert RULE.judge(recorded(history=history)) == NotApplicable("the number of classes is not known: give --classes")


def test_the_noise_of_batches_in_a_log_is_no_learning(recorded: Recorded) -> None:
    log = {"epoch": np.repeat(np.arange(EPOCHS), 50), "train_loss": around(2.3026, 0.05, size=50 * EPOCHS)}
    assert isinstance(RULE.judge(recorded(facts=TEN, history=by_epoch(STUCK), log=log)), Finding)


def test_an_accuracy_of_guessing_beside_a_loss_that_falls_is_a_warning(recorded: Recorded) -> None:
    for scale in (1, 100):
        history = by_epoch({"train_loss": FALLING, "val_loss": FALLING, "val_acc": scale * STUCK["val_acc"]})
        answer = RULE.judge(recorded(facts=TEN, history=history))
        assert isinstance(answer, Finding)
        assert (answer.severity, answer.where) == (WARNING, "val_acc")


@pytest.mark.parametrize(
    "series",
    [
        {"train_loss": FALLING, "val_loss": STUCK["val_loss"]},  # learned by heart
        {"train_loss": FALLING, "val_loss": FALLING, "val_acc": np.linspace(0.1, 0.7, EPOCHS)},
        {"train_loss": [0.0] * EPOCHS, "val_loss": [2.3026] * EPOCHS},  # PF501
        {"train_loss": np.linspace(2.31, 2.20, EPOCHS)},  # slowly
        {"train_loss": around(1.9, 0.002)},
        {"train_loss": FALLING, "val_acc": around(0.15, 0.002)},
        {"train_loss": FALLING, "val_acc": [0.1] * EPOCHS},  # PF502
        {"train_loss": FALLING, "val_top5": around(0.1, 0.002)},
    ],
)
def test_what_is_not_guessing_among_ten_is_clean(recorded: Recorded, series: dict[str, np.ndarray]) -> None:
    assert RULE.judge(recorded(facts=TEN, history=by_epoch(series))) == Clean()


@pytest.mark.parametrize(
    ("history", "missing"),
    [
        ({"loss": [2.3026] * 5}, "5 epochs are too few to tell: it takes 8"),
        (
            {"a_loss": [1.0], "b_loss": [1.0]},
            "there is no history and no log with a loss that is the whole of its split",
        ),
        ({"loss": around(2.1, 0.001), "acc": around(0.3, 0.001)}, "the number of classes is not known: give --classes"),
    ],
)
def test_what_is_missing_is_said(recorded: Recorded, history: dict[str, list[float]], missing: str) -> None:
    assert RULE.judge(recorded(history=by_epoch(history))) == NotApplicable(missing)
