from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.telemetry.chunk import Chunk, Layout, concatenate
from preflight.telemetry.schema import TABLES, Column
from preflight.telemetry.tables import Frame, _number, write_telemetry

Rows = list[list[str]]


def columns_of(column: Column, layout: Layout, groups: int) -> list[str]:
    """A column of the schema, or one per component, group or loss."""
    for placeholder, names in (
        ("<component>", layout.component_names()),
        ("<loss>", layout.losses),
        ("<n>", tuple(str(index) for index in range(groups))),
    ):
        if placeholder in column.name:
            return [column.name.replace(placeholder, name) for name in names]
    return [column.name]


@pytest.fixture
def written(tmp_path: Path, history: Chunk, layout: Layout, frame: Frame) -> Callable[..., dict[str, Rows]]:
    """Rows of every file that a history gives, the header first."""

    def write(history: Chunk = history, layout: Layout = layout, frame: Frame = frame) -> dict[str, Rows]:
        write_telemetry(tmp_path, history, layout, frame)
        files = {}
        for path in tmp_path.iterdir():
            with path.open(newline="", encoding="utf-8") as file:
                files[path.name] = list(csv.reader(file))
        return files

    return write


Written = Callable[..., dict[str, Rows]]


def column(rows: Rows, name: str) -> list[str]:
    index = rows[0].index(name)
    return [row[index] for row in rows[1:]]


def test_the_interchange_files_have_exactly_the_documented_columns(written: Written) -> None:
    headers = {name: ",".join(rows[0]) for name, rows in written().items()}
    assert headers["gradient_norms.csv"] == "epoch,overall,backbone,embedding,arcface"
    assert headers["weight_deltas.csv"] == "epoch,backbone_delta,embedding_delta,arcface_delta"
    assert headers["arcface_stats.csv"] == "epoch,weight_mean,weight_std,weight_norm_mean,weight_norm_std"
    assert headers["learning_rates.csv"] == "epoch,lr_group0,lr_group1"


def test_every_file_and_column_is_in_the_schema_and_in_its_order(written: Written, layout: Layout) -> None:
    expected = {
        table.file.replace("<head>", "arcface"): [
            name for column in table.columns for name in columns_of(column, layout, 2)
        ]
        for table in TABLES
    }
    assert {name: rows[0] for name, rows in written().items()} == expected


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.file)
def test_pandas_reads_the_types_of_the_schema(table: object, written: Written, layout: Layout, tmp_path: Path) -> None:
    written()
    frame = pd.read_csv(tmp_path / table.file.replace("<head>", "arcface"))
    for item in table.columns:
        for name in columns_of(item, layout, 2):
            assert pd.api.types.is_string_dtype(frame[name]) if item.dtype == "str" else frame[name].dtype == item.dtype


def test_a_row_per_step_and_one_per_sample(written: Written) -> None:
    files = written()
    assert column(files["gradient_norms.csv"], "epoch") == ["0", "0", "0", "0", "1", "1"]
    assert column(files["learning_rates.csv"], "epoch") == ["0", "0", "0", "0", "1", "1"]
    assert column(files["losses.csv"], "step") == ["0", "1", "2", "3", "4", "5"]
    assert column(files["weight_deltas.csv"], "epoch") == ["0", "0", "1"]
    assert column(files["arcface_stats.csv"], "epoch") == ["0", "0", "1"]


def test_the_rows_of_every_file_are_counted(
    written: Written, tmp_path: Path, history: Chunk, layout: Layout, frame: Frame
) -> None:
    counted = write_telemetry(tmp_path, history, layout, frame)
    assert counted == {name: len(rows) - 1 for name, rows in written().items()}


def test_norms_are_those_of_the_whole_and_of_its_components(written: Written) -> None:
    rows = written()["gradient_norms.csv"]
    first = [float(value) for value in rows[1][1:]]
    assert first == pytest.approx([np.sqrt(9 + 16 + 144 + 0.125**2), 5.0, 12.0, 0.125])


def test_deltas_and_statistics_are_of_the_sampled_steps(written: Written) -> None:
    files = written()
    assert column(files["weight_deltas.csv"], "embedding_delta") == ["1.5", "3.5", "5.5"]
    assert column(files["arcface_stats.csv"], "weight_norm_std") == ["1.4", "3.4", "5.4"]
    assert column(files["arcface_geometry.csv"], "effective_rank") == ["3.0", "5.0", "7.0"]


def test_validation_stands_beside_the_step_it_was_made_after(written: Written) -> None:
    rows = written()["losses.csv"]
    assert column(rows, "val_score") == ["", "", "", "", "", "0.75"]
    assert column(rows, "val_center") == ["", "", "", "", "", "2.5"]
    assert column(rows, "val_metric") == [""] * 6


def test_a_history_that_starts_later_counts_on(written: Written, history: Chunk) -> None:
    files = written(replace(history, first_step=7))
    assert column(files["losses.csv"], "step") == ["7", "8", "9", "10", "11", "12"]
    assert column(files["losses.csv"], "epoch") == ["1", "2", "2", "2", "2", "3"]
    assert column(files["weight_deltas.csv"], "epoch") == ["1", "2", "2"]
    assert column(files["parameters.csv"], "max_step") == ["12"] * 4


def test_whole_numbers_are_read_as_floats_where_the_column_is_one(written: Written, history: Chunk) -> None:
    rows = written(replace(history, losses=np.zeros_like(history.losses)))["losses.csv"]
    assert column(rows, "total") == ["0.0"] * 6


def test_what_is_not_finite_is_visible_beside_what_was_not_measured(written: Written, history: Chunk) -> None:
    losses = history.losses.copy()
    losses[1], losses[2], losses[3] = np.nan, np.inf, -np.inf
    rows = written(replace(history, losses=losses))["losses.csv"]
    assert column(rows, "arc") == ["0.25", "nan", "inf", "-inf", "4.25", "5.25"]


def test_a_gradient_that_is_not_finite_is_visible_in_the_whole(written: Written, history: Chunk) -> None:
    norms = history.norms.copy()
    norms[2, 2], norms[4, 0] = np.inf, np.nan
    rows = written(replace(history, norms=norms))["gradient_norms.csv"]
    assert column(rows, "overall")[2] == "inf"
    assert column(rows, "overall")[4] == "nan"
    assert column(rows, "embedding")[4] != ""


def test_no_head_no_statistics(written: Written, frame: Frame) -> None:
    assert not [name for name in written(frame=replace(frame, head=None)) if name.endswith("_stats.csv")]


def test_names_may_hold_commas_quotes_and_line_breaks(written: Written, layout: Layout, tmp_path: Path) -> None:
    odd = replace(
        layout,
        parameters=('a,"b"', "line\nbreak", "größe", "plain"),
        components=("x,y", "x,y", 'say "z"', "plain"),
        losses=("l,1", 'l"2"'),
    )
    files = written(layout=odd)
    assert files["gradient_norms.csv"][0] == ["epoch", "overall", "x,y", 'say "z"', "plain"]
    assert column(files["parameters.csv"], "name") == list(odd.parameters)
    assert 'l"2"' in pd.read_csv(tmp_path / "losses.csv").columns


def test_a_trial_without_a_step_has_headers_only(written: Written, layout: Layout) -> None:
    files = written(concatenate([], layout))
    assert {name: len(rows) for name, rows in files.items()} == {
        "gradient_norms.csv": 1,
        "weight_deltas.csv": 1,
        "arcface_stats.csv": 1,
        "arcface_geometry.csv": 1,
        "learning_rates.csv": 1,
        "losses.csv": 1,
        "parameters.csv": 5,
    }
    assert column(files["parameters.csv"], "max_gradient_norm") == [""] * 4
    assert column(files["parameters.csv"], "first_nonfinite_step") == ["-1"] * 4
    assert column(files["parameters.csv"], "first_weight_norm") == ["2.0", "0.0", "4.0", "8.0"]
    assert column(files["parameters.csv"], "update_total") == [""] * 4


def test_parameters_have_their_largest_finite_norm_and_its_step(written: Written, history: Chunk) -> None:
    norms = history.norms.copy()
    norms[:, 0] = [1, 9, 2, np.nan, np.inf, 3]
    norms[:, 1] = np.nan
    norms[:, 2] = np.inf
    rows = written(replace(history, norms=norms))["parameters.csv"]
    assert [row[:6] for row in rows[1:]] == [
        ["backbone.w", "backbone", "12", "9.0", "1", "3"],
        ["backbone.b", "backbone", "4", "", "0", "-1"],
        ["embedding.w", "embedding", "8", "", "0", "0"],
        ["arcface.w", "arcface", "6", "5.125", "5", "-1"],
    ]


def test_parameters_have_their_median_norm_and_the_last_step_that_moved_them(written: Written, history: Chunk) -> None:
    norms = history.norms.copy()
    norms[:, 0] = [1, 9, 2, np.nan, np.inf, 3]
    norms[:, 1] = np.nan
    norms[:, 2] = 0.0
    norms[:, 3] = [5, 4, 3, 0, 0, 0]
    rows = written(replace(history, norms=norms, first_step=10))["parameters.csv"]
    assert column(rows, "median_gradient_norm") == ["2.5", "", "0.0", "1.5"]
    assert column(rows, "last_gradient_step") == ["15", "-1", "-1", "12"]


def test_parameters_have_the_norms_they_began_and_ended_with_and_what_changed_them(written: Written) -> None:
    rows = written()["parameters.csv"]
    assert column(rows, "first_weight_norm") == ["2.0", "0.0", "4.0", "8.0"]
    assert column(rows, "last_weight_norm") == ["6.0", "7.0", "8.0", "12.0"]
    assert [float(value) for value in column(rows, "update_total")] == pytest.approx([9.9, 10.2, 10.5, 10.8])
    medians = [3.3 / 4, 3.4 / 5, 3.5 / 6, 3.6 / 10]
    assert [float(value) for value in column(rows, "median_update_ratio")] == pytest.approx(medians)


@pytest.mark.parametrize(("deltas", "ratio"), [([4.0, 0.0, 0.0], "0.0"), ([4.0, 6.0, 2.0], "0.25")])
def test_an_update_is_relative_to_the_larger_norm_of_both_ends(
    deltas: list[float], ratio: str, written: Written, history: Chunk, layout: Layout
) -> None:
    changes, weights = history.deltas.copy(), history.weights.copy()
    changes[1::2, 0], weights[1::2, 0] = deltas, [4.0, 10.0, 8.0]
    begun = replace(layout, first_weight_norms=(16.0, *layout.first_weight_norms[1:]))
    rows = written(replace(history, deltas=changes, weights=weights), begun)["parameters.csv"]
    assert column(rows, "median_update_ratio")[0] == ratio


def test_a_weight_that_stays_at_zero_does_not_move(written: Written, history: Chunk, layout: Layout) -> None:
    nothing = np.where(np.isnan(history.deltas), np.nan, 0.0)
    begun = replace(layout, first_weight_norms=(0.0,) * 4)
    rows = written(replace(history, deltas=nothing, weights=nothing), begun)["parameters.csv"]
    assert column(rows, "median_update_ratio") == ["0.0"] * 4


@pytest.mark.filterwarnings("error")
def test_weights_that_are_lost_leave_the_ratio_of_the_others(written: Written, history: Chunk) -> None:
    deltas, weights = history.deltas.copy(), history.weights.copy()
    deltas[5, 0] = weights[5, 0] = np.inf
    deltas[5, 1] = weights[5, 1] = np.nan
    rows = written(replace(history, deltas=deltas, weights=weights))["parameters.csv"]
    assert column(rows, "last_weight_norm")[:2] == ["inf", "5.0"]
    assert [float(value) for value in column(rows, "median_update_ratio")[:2]] == pytest.approx(
        [(1.3 / 2 + 3.3 / 4) / 2, (1.4 / 3 + 3.4 / 5) / 2]
    )


def test_without_weight_norms_nothing_is_said_of_them(written: Written, history: Chunk, layout: Layout) -> None:
    bare = Chunk(0, history.losses, history.norms, history.deltas, history.heads, history.lrs)
    rows = written(bare, replace(layout, first_weight_norms=()))["parameters.csv"]
    for name in ("first_weight_norm", "last_weight_norm", "median_update_ratio"):
        assert column(rows, name) == [""] * 4
    assert float(column(rows, "update_total")[0]) == pytest.approx(9.9)


@given(st.floats(width=32))
def test_a_cell_carries_a_float32(value: float) -> None:
    text = _number(value)
    assert (text == "") == np.isnan(value)
    if text:
        assert np.float32(float(text)) == np.float32(value)
