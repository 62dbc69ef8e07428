from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.errors import MissingError
from preflight.rules.series import (
    HISTORY,
    LOG,
    STEPS,
    classes_of,
    counterpart,
    is_rising,
    losses_of,
    names,
    saved_series,
    spoken,
)
from preflight.telemetry.metric_names import LOSS, TRAIN, VALIDATION, Meaning
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def test_series_are_found_by_their_names_and_without_what_is_not_finite(recorded: Recorded) -> None:
    recording = recorded(history={"epoch": [1, 2, 3], "val_loss": [np.nan, 2, np.inf], "lr": [1, 1, 1]})
    (item,) = saved_series(recording, HISTORY)
    assert (item.name, item.meaning) == ("val_loss", Meaning(VALIDATION, LOSS, ""))
    assert (item.rows.tolist(), item.epochs.tolist(), item.values.tolist()) == ([1], [2], [2])


def test_the_first_table_that_has_series_is_taken(recorded: Recorded) -> None:
    recording = recorded(history={"lr": [0.1]}, log={"loss": [2.0]}, losses={"total": [1.0]})
    assert [item.name for item in saved_series(recording, HISTORY, LOG, STEPS)] == ["loss"]


def test_where_there_is_none_it_is_said(recorded: Recorded) -> None:
    with pytest.raises(MissingError, match=r"^there is no history and no log with a loss or a metric$"):
        saved_series(recorded(losses={"total": [1.0]}), HISTORY, LOG)


def test_every_column_of_losses_is_one_but_the_score_and_the_metric(recorded: Recorded) -> None:
    columns = {name: [1.0] for name in ("total", "angle", "val_angle", "val_score", "val_metric")}
    found = saved_series(recorded(losses=columns), STEPS)
    assert {item.name: item.meaning for item in found} == {
        "total": Meaning(TRAIN, LOSS, ""),
        "angle": Meaning(TRAIN, LOSS, "angle"),
        "val_angle": Meaning(VALIDATION, LOSS, "angle"),
    }


@pytest.mark.parametrize(
    ("name", "history", "log", "expected"),
    [
        ("train_ce_loss", ["train_ce_loss"], ["train_total_loss", "top5"], "train_total_loss"),
        ("train_loss", ["train_loss"], ["train_ce_loss"], "train_ce_loss"),
        ("kl_loss", ["loss", "kl_loss"], ["loss"], None),
        ("loss", ["loss", "kl_loss"], ["loss", "kl_loss"], "loss"),
        ("loss", ["loss"], ["ce_loss", "kl_loss"], None),
        ("ce_loss", ["ce_loss"], ["kl_loss"], None),
        ("val_loss", ["val_loss"], ["loss"], None),
        ("val_loss", ["val_loss"], ["test_loss", "eval_loss"], "eval_loss"),
        ("val_loss", ["val_loss"], ["test_loss"], "test_loss"),
        ("acc", ["acc"], ["top5"], None),
    ],
)
def test_a_series_of_the_log_is_meant_by_its_key_or_as_the_only_loss_beside_one(
    recorded: Recorded, name: str, history: list[str], log: list[str], expected: str | None
) -> None:
    recording = recorded(history={key: [1.0] for key in history}, log={key: [1.0] for key in log})
    saved = saved_series(recording, HISTORY)
    item = next(item for item in saved if item.name == name)
    assert getattr(counterpart(item, saved, saved_series(recording, LOG)), "name", None) == expected


def test_of_losses_the_whole_comes_first(recorded: Recorded) -> None:
    series = saved_series(recorded(history={"ce_loss": [1.0], "loss": [2.0], "kl_loss": [1.0]}), HISTORY)
    assert [item.name for item in losses_of(series, TRAIN)] == ["loss", "ce_loss", "kl_loss"]
    assert names(series) == "ce_loss, loss and kl_loss"


@pytest.mark.parametrize(
    ("values", "still", "moves"),
    [
        ([9.5393] * 3, True, False),
        ([9.5393, 9.53931], True, False),
        ([9.5393, 9.5394], False, False),
        ([9.5, 8.5], False, True),
        ([0.0, 0.0], True, False),
        ([1.0], False, False),
    ],
)
def test_a_series_stands_still_or_moves_or_neither(
    recorded: Recorded, values: list[float], still: bool, moves: bool
) -> None:
    (item,) = saved_series(recorded(history={"loss": values}), HISTORY)
    assert (item.stands_still, item.moves) == (still, moves)


def test_the_number_of_classes_is_known_where_it_was_given(recorded: Recorded) -> None:
    assert classes_of(recorded()) is None
    assert classes_of(recorded(facts={"classes": 10})) == 10


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=30))
def test_what_rises_does_not_fall(values: list[float]) -> None:
    assert not (is_rising(np.array(values)) and is_rising(-np.array(values)))


def test_a_trend_needs_more_than_a_few_values() -> None:
    assert not is_rising(np.arange(5.0))
    assert is_rising(np.arange(6.0))
    noise = [is_rising(np.random.default_rng(seed).normal(size=20)) for seed in range(400)]
    assert sum(noise) <= 8


def test_a_value_is_said_as_it_was_saved() -> None:
    assert [spoken(value) for value in (9.5393, 0.1, 275959.0)] == ["9.5393", "0.1", "275959"]
