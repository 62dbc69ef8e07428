from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.advise.diagnosis import diagnose
from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf502_constant_series import IDLE, METRIC_EPOCHS, RULE, SAVED, STALE, digits_of
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
FALLING = np.linspace(9.2, 7.5, 15)
STILL = [9.5393] * 15


def test_a_validation_loss_that_never_changes_beside_a_training_loss_that_does_is_of_stale_weights(
    recorded: Recorded,
) -> None:
    answer = RULE.judge(recorded(history={"train_loss": FALLING, "val_loss": STILL}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where, answer.remedies) == (ERROR, "val_loss", (STALE,))
    assert answer.message == (
        "val_loss is 9.5393 in all 15 epochs: the weights that are evaluated never change, though those in training do "
        "(train_loss goes from 9.2 to 7.5 meanwhile)"
    )


def test_that_training_goes_on_may_stand_in_the_log(recorded: Recorded) -> None:
    history = {"train_loss": [0.0] * 15, "val_loss": STILL, "val_top1_acc": [0.0] * 15}
    answer = RULE.judge(recorded(history=history, log={"epoch": [1, 1, 2], "train_loss": [9.1621, 8.2, 7.535]}))
    assert isinstance(answer, Finding)
    assert "(train_loss goes from 9.1621 to 7.535 meanwhile)" in answer.message


def test_where_nothing_moves_the_learning_rate_may_be_zero(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(history={"val_loss": STILL}))
    assert isinstance(answer, Finding)
    assert answer.remedies == (STALE, IDLE)
    answer = RULE.judge(recorded(history={"train_loss": STILL}))
    assert isinstance(answer, Finding)
    assert (answer.remedies, answer.where) == ((IDLE,), "train_loss")


def test_a_training_loss_that_moves_in_the_log_is_saved_wrongly(recorded: Recorded) -> None:
    log = {"epoch": range(15), "train_loss": FALLING}
    answer = RULE.judge(recorded(history={"train_loss": STILL}, log=log))
    assert isinstance(answer, Finding)
    assert answer.remedies == (SAVED,)


@pytest.mark.parametrize(("classes", "said"), [(13900, True), (10, False)])
def test_the_level_of_guessing_is_named_where_the_classes_are_known(
    recorded: Recorded, classes: int, said: bool
) -> None:
    answer = RULE.judge(recorded(history={"val_loss": STILL}, facts={"classes": classes}))
    assert isinstance(answer, Finding)
    assert (f"guessing among {classes} classes" in answer.message) == said
    assert answer.evidence[1].value == pytest.approx(math.log(classes))


def test_the_rounding_of_a_float_is_no_change(recorded: Recorded) -> None:
    values = 9.539312 + 1e-6 * np.random.default_rng(0).normal(size=5)
    assert isinstance(RULE.judge(recorded(history={"val_loss": values})), Finding)


def test_a_metric_that_stands_low_is_a_warning(recorded: Recorded) -> None:
    epochs = int(METRIC_EPOCHS.value)
    for value in (0.1135, 11.35):
        history = {"val_loss": np.linspace(2.3, 2.2, epochs), "val_acc": [value] * epochs}
        answer = RULE.judge(recorded(history=history))
        assert isinstance(answer, Finding)
        assert (answer.severity, answer.where) == (WARNING, "val_acc")


@pytest.mark.parametrize(
    "history",
    [
        {"val_acc": [1.0] * 30, "val_loss": np.geomspace(1e-2, 1e-4, 30)},
        {"val_acc": [100.0] * 30},
        {"val_acc": [0.9667] * 30},  # 29 of 30 samples
        {"val_acc": [0.0] * 30},  # PF501
        {"val_loss": [*np.linspace(2, 1, 5), *[1.0] * 20]},
        {"val_loss": np.repeat([1.51234, 1.41234, 1.31234], 5)},  # evaluated every fifth epoch
        {"train_loss": 2.3 + 1e-3 * np.random.default_rng(0).normal(size=20)},  # learns nothing, and moves
    ],
)
def test_what_stands_still_for_a_good_reason_is_clean(recorded: Recorded, history: dict[str, list[float]]) -> None:
    assert RULE.judge(recorded(history=history)) == Clean()


@pytest.mark.parametrize(
    ("history", "missing"),
    [
        ({"val_loss": [0.69] * 20}, "val_loss, 0.69 throughout, has 2 digits, 4 are needed"),
        ({"val_loss": [2.3] * 20}, "val_loss, 2.3 throughout, has 2 digits, 4 are needed"),
        ({"val_loss": [0.1234, 0.1234]}, "val_loss, 0.1234 throughout, has 2 epochs, 5 are needed"),
        ({"val_loss": [0.1234] * 4}, "val_loss, 0.1234 throughout, has 4 epochs, 5 are needed"),  # an early plateau
        ({"val_loss": [0.1234567] * 2}, "val_loss, 0.123457 throughout, has 2 epochs, 3 are needed"),
        ({"val_acc": [0.1135] * 5}, "val_acc, 0.1135 throughout, has 5 epochs, 8 are needed"),
        ({"val_loss": [0.1234567]}, "val_loss has 1 epoch, 2 are needed"),
    ],
)
def test_too_few_values_or_digits_are_not_clean(
    recorded: Recorded, history: dict[str, list[float]], missing: str
) -> None:
    assert RULE.judge(recorded(history=history)) == NotApplicable(missing)


@pytest.mark.parametrize(
    ("validation", "training", "found"),
    [
        ([9.5393] * 4, [9.1621, 8.7352, 8.2003, 7.535], True),
        ([9.5393] * 3, [9.1621, 8.7352, 8.2003, 7.535], True),
        ([9.5393] * 2, [9.1621, 8.7352, 8.2003, 7.535], False),
        ([9.5393] * 4, [9.1621, 8.2003, 8.7352, 7.535], False),  # nobody knows what of it is noise
        ([0.5123] * 4, [2.0, 0.5012, 0.5011, 0.501], False),  # nothing moves any more
        ([2.31] * 4, [9.1621, 8.7352, 8.2003, 7.535], False),
    ],
)
def test_beside_a_training_loss_that_falls_few_values_are_enough(
    recorded: Recorded, validation: list[float], training: list[float], found: bool
) -> None:
    answer = RULE.judge(recorded(history={"val_loss": validation}, log={"train_loss": training}))
    assert isinstance(answer, Finding if found else NotApplicable)


def test_without_a_series_there_is_nothing_to_judge(recorded: Recorded) -> None:
    missing = NotApplicable("there is no history and no log, and losses.csv is not of both splits")
    assert RULE.judge(recorded(losses={"total": [1.0]})) == missing


@pytest.mark.parametrize(
    ("value", "digits"), [(9.5393, 5), (0.6931, 4), (0.0123, 3), (100.0, 1), (1e-5, 1), (1 / 3, 15), (0.0, 0)]
)
def test_digits_are_counted(value: float, digits: int) -> None:
    assert digits_of(value) == digits


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(1e-3, 1e3), st.booleans())
def test_the_unit_of_the_loss_does_not_matter(recorded: Recorded, scale: float, still: bool) -> None:
    values = np.full(8, 1.234567) if still else np.linspace(1.3, 1.2, 8)
    answer = RULE.judge(recorded(history={"val_loss": scale * values}))
    assert isinstance(answer, Finding) == still


def steps(validation: list[float], training: np.ndarray) -> dict[str, list[float]]:
    """Columns of losses.csv: validated at the end of every tenth of the run."""
    sparse = [math.nan] * len(training)
    every = len(training) // len(validation)
    for index, value in enumerate(validation, 1):
        sparse[index * every - 1] = value
    return {"total": list(training), "ce": list(training), "val_ce": sparse}


def test_in_a_trial_a_validation_loss_that_stands_still_while_training_goes_on_is_found(recorded: Recorded) -> None:
    falls = np.linspace(2.3, 0.1, 100) + 0.05 * np.random.default_rng(0).normal(size=100)
    answer = RULE.judge(recorded(losses=steps([2.30768363] * 5, falls)))
    assert isinstance(answer, Finding)
    assert (answer.where, answer.remedies) == ("val_ce", (STALE,))
    assert "in all 5 evaluations" in answer.message


def test_in_a_trial_nothing_is_said_where_training_stands_still_as_well_or_validation_moves(recorded: Recorded) -> None:
    noise = 2.3 + 0.05 * np.random.default_rng(0).normal(size=100)
    assert RULE.judge(recorded(losses=steps([2.30768363] * 5, noise))) == Clean()
    in_the_last_digits = np.linspace(2.3076836, 2.3076830, 100)
    in_the_last_digits[9::10] = 2.0  # a shorter batch at the end of every epoch
    assert RULE.judge(recorded(losses=steps([2.30768363] * 5, in_the_last_digits))) == Clean()
    moving = [2.30768363, 1.9, 1.5, 1.2, 1.1]
    assert RULE.judge(recorded(losses=steps(moving, np.linspace(2.3, 0.1, 100)))) == Clean()


def test_weights_that_never_change_are_why_a_history_stays_at_guessing(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(history={"val_loss": STILL}))
    assert isinstance(answer, Finding)
    assert answer.explains == ("PF401", "PF402")


LOGGED: dict[str, np.ndarray] = {
    "epoch": np.arange(1, 13),
    "val_loss": np.geomspace(2.6, 0.47, 12),
    "val_acc": np.linspace(0.22, 0.95, 12),
}


@pytest.mark.parametrize(
    ("kept", "printed"),
    [
        ({"val_loss": [2.3] * 12, "val_acc": [0.1] * 12}, ["val_loss", "val_acc"]),
        ({"val_loss": [2.302585] * 12}, ["val_loss"]),
        ({"val_acc": [0.1] * 12}, ["val_acc"]),
        ({"val_acc": [10.0] * 12}, ["val_acc"]),  # in percent
        ({"val_loss": [2.302585] * 12, "val_acc": [0.1] * 12}, ["val_acc"]),  # the loss is of the same weights
    ],
)
def test_what_the_log_shows_moving_is_saved_wrongly_whatever_a_model_could_do(
    recorded: Recorded, kept: dict[str, list[float]], printed: list[str]
) -> None:
    log = {name: LOGGED[name] for name in ("epoch", *printed)}
    recording = recorded(history={"epoch": range(1, 13), "train_loss": np.geomspace(2.5, 0.35, 12), **kept}, log=log)
    answer = RULE.judge(recording)
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.remedies[0], answer.where) == (ERROR, SAVED, printed[0])
    for name in printed:
        assert f"{name} goes from {LOGGED[name][0]:.6g} to {LOGGED[name][-1]:.6g}" in answer.message
    for words in ("weights", "samples", "one answer"):
        assert words not in answer.message
    order = [item.rule.code for item in diagnose([recording]).findings]
    assert order[:2] == ["PF502", "PF503"]


@pytest.mark.parametrize(
    "log",
    [
        {"epoch": range(1, 13), "val_loss": [2.302585] * 12},  # says the same
        {"epoch": range(1, 13), "test_loss": LOGGED["val_loss"]},  # of other samples
        {"epoch": np.repeat(range(1, 13), 3), "val_loss": np.tile([1.9, 2.3, 2.7], 12)},  # of batches
    ],
)
def test_a_log_that_does_not_deny_a_constant_leaves_the_weights_as_its_reason(
    recorded: Recorded, log: dict[str, list[float]]
) -> None:
    history = {"epoch": range(12), "train_loss": np.geomspace(2.5, 0.35, 12), "val_loss": [2.302585] * 12}
    answer = RULE.judge(recorded(history=history, log=log))
    assert isinstance(answer, Finding)
    assert answer.remedies == (STALE,)


def test_a_value_rounded_as_far_as_the_log_moves_is_not_denied(recorded: Recorded) -> None:
    log = {"epoch": range(1, 13), "val_acc": np.linspace(0.38, 0.42, 12)}
    answer = RULE.judge(recorded(history={"epoch": range(1, 13), "val_acc": [0.4] * 12}, log=log))
    assert isinstance(answer, Finding)
    assert answer.severity == WARNING


def test_a_training_metric_that_is_kept_does_not_hide_validation_weights_that_are_stale(recorded: Recorded) -> None:
    history = {"epoch": range(1, 16), "train_loss": [5.0] * 15, "val_loss": STILL}
    answer = RULE.judge(recorded(history=history, log={"epoch": range(1, 16), "train_loss": FALLING}))
    assert isinstance(answer, Finding)
    assert (answer.where, answer.remedies) == ("val_loss", (STALE,))
