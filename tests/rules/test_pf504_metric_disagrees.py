from __future__ import annotations

from collections.abc import Callable

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
        {"val_loss": DOWN[:7], "val_acc": UP[::-1][:7]},
        {"train_loss": DOWN, "val_loss": DOWN[::-1], "val_acc": UP[::-1]},  # overfitting: PF507
    ],
)
def test_what_agrees_or_cannot_be_told_is_clean(recorded: Recorded, history: dict[str, np.ndarray]) -> None:
    assert RULE.judge(recorded(history=history)) == Clean()


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
