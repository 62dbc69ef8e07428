from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.errors import InputError
from preflight.telemetry.history import History, read_history

Read = Callable[..., History]
nan = np.nan


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a history of this text, or of this object as JSON."""

    def run(content: object, name: str = "history.json") -> History:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return read_history(path)

    return run


SERIES = {"epoch": [1, 2], "train_loss": [2.0, 1.0], "val_loss": [2.5, 1.5]}
ROWS = [{"epoch": 1, "train_loss": 2.0, "val_loss": 2.5}, {"epoch": 2, "train_loss": 1.0, "val_loss": 1.5}]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"train_loss": [2.0, 1.0], "val_loss": [2.5, 1.5]}, "history.json"),
        (SERIES, "history.json"),
        (ROWS, "history.json"),
        ({"log_history": ROWS, "global_step": 2}, "trainer_state.json"),
        ("\n".join(map(json.dumps, ROWS)), "metrics.jsonl"),
        ({"history": {"train_loss": [2.0, 1.0], "val_loss": ["2.5", "1.5"]}, "params": {"epochs": 2}}, "history.json"),
        ({"train": {"loss": [2.0, 1.0]}, "val": {"loss": [2.5, 1.5]}}, "history.json"),
        ({name: {"0": values[0], "1": values[1]} for name, values in SERIES.items()}, "pandas.json"),
        ({"1": {"train_loss": 2.0, "val_loss": 2.5}, "2": {"train_loss": 1.0, "val_loss": 1.5}}, "history.json"),
        ({"train_loss": [[2.0], [1.0]], "val_loss": [2.5, 1.5], "best": 1.5, "name": "x", "ok": True}, "history.json"),
        ("epoch,train_loss,val_loss\n1,2,2.5\n2,1,1.5\n", "metrics.csv"),
    ],
)
def test_the_same_history_is_read_from_every_form(read: Read, content: object, name: str) -> None:
    found = read(content, name)
    assert found.problems == []
    assert {key: list(values) for key, values in found.frame.to_dict("list").items()} == SERIES


def test_rows_that_hold_some_series_leave_the_others_open(read: Read) -> None:
    found = read([{"loss": 1.0, "epoch": 0.5}, {"eval_loss": 0.8, "epoch": 1.0, "note": "x"}])
    np.testing.assert_equal(
        found.frame.to_dict("list"), {"loss": [1.0, nan], "epoch": [0.5, 1.0], "eval_loss": [nan, 0.8]}
    )


def test_what_is_not_finite_is_told_from_what_was_not_saved(read: Read) -> None:
    found = read('{"loss": [1.0, NaN, Infinity, null, "nan", "-inf"]}')
    np.testing.assert_equal(found.frame["loss"].tolist(), [1.0, np.inf, np.inf, nan, np.inf, -np.inf])


def test_epochs_are_the_files_own_or_counted_from_1_as_logs_print_them(read: Read) -> None:
    own, counted = read({"epoch": [0, 1], "loss": [2, 1]}), read({"loss": [2, 1]})
    assert (own.frame["epoch"].tolist(), own.counts_rows) == ([0, 1], False)
    assert (counted.frame["epoch"].tolist(), counted.counts_rows) == ([1, 2], True)
    broken = read("loss,val_loss\n3,3\n2\n1,1\n", "metrics.csv")
    assert broken.frame["epoch"].tolist() == [1, 3]  # the row that is left out is an epoch, too


def test_in_a_csv_a_written_nan_was_not_finite_and_an_empty_cell_was_not_saved(read: Read) -> None:
    found = read("epoch,loss,val_loss\n1,1,1.5\n2,nan,\n3,inf,NaN\n4,,null\nnan,0.5,1\n", "metrics.csv").frame
    np.testing.assert_equal(found["epoch"].tolist(), [1, 2, 3, 4, nan])
    np.testing.assert_equal(found["loss"].tolist(), [1, np.inf, np.inf, nan, 0.5])
    np.testing.assert_equal(found["val_loss"].tolist(), [1.5, nan, np.inf, nan, 1])


def test_rows_of_another_kind_hold_the_place_of_what_they_do_not_tell(read: Read) -> None:
    rows = "1,1.2,nan\n1,nan,1.1\n2,0.8,nan\n2,nan,0.9\n"
    found = read(f"epoch,loss,val_loss\n{rows}", "metrics.csv").frame
    np.testing.assert_equal(found["loss"].tolist(), [1.2, nan, 0.8, nan])
    broken = read(f"epoch,loss,val_loss\n{rows}3,nan,nan\n3,nan,nan\n", "metrics.csv").frame
    assert broken["loss"].tolist()[-2:] == [np.inf, np.inf]


def test_series_of_different_lengths_are_filled_up_and_said(read: Read) -> None:
    found = read({"loss": [3, 2, 1], "val_loss": [2, 1], "confusion": [[1, 2], [3, 4]]})
    np.testing.assert_equal(found.frame["val_loss"].tolist(), [2.0, 1.0, nan])
    assert [str(problem) for problem in found.problems] == [
        "history.json: 'confusion' is no list of numbers; left out",
        "history.json: 'val_loss' has 2 values where others have 3",
    ]


def test_a_line_that_is_no_json_is_named(read: Read) -> None:
    found = read('{"loss": 2}\n{"loss": 1\n\n{"loss": 0.5}\n', "metrics.json")
    assert found.frame["loss"].tolist() == [2, 0.5]
    assert [problem.line for problem in found.problems] == [2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON"),
        ("loss = 3", "is no JSON"),
        ("[" * 5000, "is no JSON"),
        ("3", "holds int where a history belongs"),
        ("{}", "holds no series of numbers"),
        ("[]", "holds no series"),
        ([1, 2], "holds no series"),
        ({"loss": []}, "holds no series"),
        ({"loss": ["a", "b"]}, "holds no series"),
        ({"loss": 10**400}, "holds no series"),
    ],
)
def test_what_is_no_history_is_bad_input(read: Read, content: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(content)


def test_a_csv_file_without_rows_is_bad_input(read: Read) -> None:
    with pytest.raises(InputError, match="holds no series"):
        read("loss,val_loss\n", "metrics.csv")


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing.json cannot be read: No such file"):
        read_history(tmp_path / "nothing.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_values)
def test_any_json_is_a_history_or_bad_input(read: Read, content: object) -> None:
    try:
        found = read(json.dumps(content))
    except InputError:
        return
    assert len(found.frame) > 0
    assert "epoch" in found.frame
