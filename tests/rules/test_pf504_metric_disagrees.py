from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf504_metric_disagrees import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
DOWN, UP = np.geomspace(2, 0.2, 20), np.linspace(0.2, 0.8, 20)


@pytest.mark.parametrize(("name", "values"), [("val_acc", UP[::-1]), ("val_error", UP), ("val_f1", 100 * UP[::-1])])
def test_a_metric_that_gets_worse_while_the_loss_falls_is_found(
    recorded: Recorded, name: str, values: np.ndarray
) -> None:
    answer = RULE.judge(recorded(history={"val_loss": DOWN, name: values}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, name)


def test_the_log_alone_is_enough(recorded: Recorded) -> None:
    assert isinstance(RULE.judge(recorded(log={"train_loss": DOWN, "train_acc": UP[::-1]})), Finding)


@pytest.mark.parametrize(
    "history",
    [
        {"val_loss": DOWN, "val_acc": UP},
        {"val_loss": DOWN, "val_error": UP[::-1]},
        {"val_loss": DOWN[::-1], "val_acc": UP},  # overconfident, and better
        {"val_loss": DOWN[::-1], "val_acc": UP[::-1]},
        {"val_loss": DOWN, "val_acc": [0.0] * 20},
        {"val_loss": DOWN, "val_acc": 0.9 - 0.001 * np.arange(20)},  # a little worse
        {"val_loss": 1 - 0.001 * np.arange(20), "val_acc": UP[::-1]},
        {"train_loss": DOWN, "val_loss": DOWN[::-1], "val_acc": UP[::-1]},  # overfitting: PF507
    ],
)
def test_what_agrees_or_cannot_be_told_is_clean(recorded: Recorded, history: dict[str, np.ndarray]) -> None:
    assert RULE.judge(recorded(history=history)) == Clean()


def test_too_few_epochs_are_not_clean(recorded: Recorded) -> None:
    history = {"val_loss": DOWN[:7], "val_acc": UP[::-1][:7]}
    missing = NotApplicable("what loss and metric share has 7 epochs, 8 are needed")
    assert RULE.judge(recorded(history=history)) == missing


@pytest.mark.parametrize("seed", range(30))
def test_noise_is_clean(recorded: Recorded, seed: int) -> None:
    generator = np.random.default_rng(seed)
    history = {"val_loss": DOWN, "val_acc": 0.5 + 0.1 * generator.normal(size=20)}
    assert RULE.judge(recorded(history=history)) == Clean()


@pytest.mark.parametrize("history", [{"val_loss": DOWN}, {"val_acc": UP}, {"train_loss": DOWN, "val_acc": UP}])
def test_a_loss_and_a_metric_of_one_split_are_needed(recorded: Recorded, history: dict[str, np.ndarray]) -> None:
    missing = "there is no split with both a loss and a metric whose better direction is known"
    assert RULE.judge(recorded(history=history)) == NotApplicable(missing)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(1e-4, 1e4), st.booleans())
def test_the_unit_of_the_loss_does_not_matter(recorded: Recorded, scale: float, worse: bool) -> None:
    history = {"val_loss": scale * DOWN, "val_acc": UP[::-1] if worse else UP}
    assert isinstance(RULE.judge(recorded(history=history)), Finding) == worse


def trial(loss: float, accuracy: float) -> dict[str, list[float]]:
    empty = [float("nan")] * 49
    return {"total": [2.0] * 50, "val_ce": [*empty, loss], "val_metric": [*empty, accuracy]}


METRIC = {"metric": {"name": "accuracy", "goal": "maximize"}, "losses": {"ce": {"kind": "cross_entropy"}}}


@pytest.mark.parametrize(
    ("loss", "accuracy", "found"),
    [
        (0.05, 0.1, True),  # at least 93% are right
        (0.05, 0.94, False),
        (0.3, 0.47, False),  # at least 57%, and weights of classes may move that
        (0.3, 0.45, True),
        (2.0, 0.0, False),  # says nothing
    ],
)
def test_an_accuracy_below_what_the_cross_entropy_allows_is_found(
    recorded: Recorded, loss: float, accuracy: float, found: bool
) -> None:
    answer = RULE.judge(recorded(facts=METRIC, losses=trial(loss, accuracy)))
    assert isinstance(answer, Finding) == found


@pytest.mark.parametrize(
    "facts",
    [
        {**METRIC, "losses": {"ce": {"kind": None}}},
        {**METRIC, "metric": {"name": "overlap", "goal": "maximize"}},
        {**METRIC, "metric": {"name": "accuracy", "goal": "minimize"}},
    ],
)
def test_the_bound_holds_for_accuracies_beside_a_cross_entropy_alone(recorded: Recorded, facts: Any) -> None:
    assert isinstance(RULE.judge(recorded(facts=facts, losses=trial(0.05, 0.1))), NotApplicable)


def test_no_softmax_breaks_the_bound() -> None:
    """Of 1000 made-up predictions none is right less often than its cross-entropy allows."""
    generator = np.random.default_rng(0)
    for _ in range(1000):
        logits = generator.normal(size=(20, 5)) * generator.choice([0.1, 1.0, 10.0])
        labels = np.where(generator.random(20) < 0.9, logits.argmax(axis=1), generator.integers(0, 5, size=20))
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        loss = -np.log(shares[np.arange(20), labels]).mean()
        assert (logits.argmax(axis=1) == labels).mean() >= 1 - loss / np.log(2) - 1e-9
