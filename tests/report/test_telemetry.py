from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from preflight.core.errors import MissingError
from preflight.report.curves import LINEAR, LOG
from preflight.report.epochs import aggregates
from preflight.report.telemetry import BINS, head_and_backbone, plots
from preflight.report.telemetry_figures import png
from preflight.telemetry.recording import Recording

ROWS = 90
inf, nan = np.inf, np.nan


def recording(**tables: dict[str, object]) -> Recording:
    return Recording(Path("in-memory"), {}, {}, {name: pd.DataFrame(columns) for name, columns in tables.items()})


def norms(**components: object) -> dict[str, object]:
    return {"epoch": np.arange(ROWS) // 30, "overall": np.geomspace(1, 1000, ROWS), **components}


def test_every_figure_has_what_it_shows() -> None:
    table = norms(backbone=np.full(ROWS, 2.0), arcface=np.full(ROWS, 20.0))
    table["overall"] = np.where(np.arange(ROWS) == 7, inf, table["overall"])
    found = {plot.name: plot for plot in plots(recording(gradient_norms=table))}
    assert list(found) == ["gradient_norm", "component_norms", "norm_ratio", "norm_histogram", "epochs"]
    (panel,) = found["gradient_norm"].panels
    (trace,) = panel.traces
    assert panel.scale == LOG
    assert trace.broken.tolist() == [7]
    assert len(trace.x) == ROWS - 1
    ratio, middle = found["norm_ratio"].panels[0].traces
    assert ratio.y.tolist() == [10.0] * ROWS
    assert (middle.label, middle.y.tolist()) == ("median 10", [10.0, 10.0])
    bars = found["norm_histogram"].panels[0].bars
    assert bars is not None
    assert bars.counts.sum() == ROWS - 1
    assert len(bars.counts) <= BINS
    assert bars.median == pytest.approx(np.median(np.delete(np.geomspace(1, 1000, ROWS), 7)))


def test_nothing_is_drawn_of_nothing() -> None:
    assert plots(recording(other={"a": [1.0]})) == []
    table = {"epoch": [0, 1], "overall": [nan, inf], "body": [nan, nan]}
    for plot in plots(recording(gradient_norms=table)):
        assert png(plot).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("columns", "tables", "expected"),
    [
        (("backbone", "neck", "arcface"), {"arcface_stats": {"weight_mean": [0.1]}}, ("arcface", "backbone")),
        (("head", "backbone"), {"head_stats": {"weight_mean": [0.1]}}, ("head", "backbone")),
        (("body", "out"), {}, ("out", "body")),
        (("body", "out"), {"other_stats": {"weight_mean": [0.1]}}, ("out", "body")),
    ],
)
def test_head_and_backbone_are_known_by_their_names(
    columns: tuple[str, ...], tables: dict[str, dict[str, object]], expected: tuple[str, str]
) -> None:
    table = {"overall": [1.0], **{name: [1.0] for name in columns}}
    assert head_and_backbone(recording(gradient_norms=table, **tables)) == expected


def test_one_component_has_no_ratio() -> None:
    with pytest.raises(MissingError, match="fewer than two components"):
        head_and_backbone(recording(gradient_norms={"overall": [1.0], "model": [1.0]}))


def test_of_many_components_the_largest_are_drawn() -> None:
    table = norms(**{f"c{index}": np.full(ROWS, float(index + 1)) for index in range(20)})
    panel = next(plot for plot in plots(recording(gradient_norms=table)) if plot.name == "component_norms").panels[0]
    assert [trace.label for trace in panel.traces] == [f"c{index}" for index in range(14, 20)]
    assert panel.title.endswith("the 6 largest of 20")


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0], [1e-30, 1e30], [nan, 1.0], [0.0, 3.0, inf]])
def test_any_values_can_be_drawn(values: list[float]) -> None:
    table = {"epoch": range(len(values)), "overall": values, "a": values, "$b_{": values}
    deltas = {"epoch": range(len(values)), "a_delta": values}
    rates = {"epoch": range(len(values)), "lr_group0": values}
    stats = {"epoch": range(len(values)), "weight_mean": values, "weight_norm_mean": values}
    for plot in plots(recording(gradient_norms=table, weight_deltas=deltas, learning_rates=rates, a_stats=stats)):
        assert png(plot).startswith(b"\x89PNG")


def test_epochs_are_aggregated() -> None:
    table = {"epoch": [0, 0, 1.2, 1.7, 2], "overall": [1.0, 3.0, 2.0, nan, inf]}
    deltas = {"epoch": [0, 0, 3], "body_delta": [0.5, 0.25, 2.0]}
    found = aggregates(recording(gradient_norms=table, weight_deltas=deltas))
    assert list(found) == ["norm_mean", "norm_std", "norm_max", "body_delta_mean", "body_delta_sum"]
    assert found.index.tolist() == [0, 1, 2, 3]
    np.testing.assert_equal(found.loc[0].tolist(), [2.0, 1.0, 3.0, 0.375, 0.75])
    np.testing.assert_equal(found.loc[1].tolist(), [2.0, 0.0, 2.0, nan, nan])
    assert found.loc[2, "norm_max"] == inf
    np.testing.assert_equal(found.loc[3].tolist(), [nan, nan, nan, 2.0, 2.0])


@pytest.mark.parametrize("tables", [{}, {"gradient_norms": {"overall": [1.0]}}, {"weight_deltas": {"a_delta": [1.0]}}])
def test_without_epochs_there_are_no_aggregates(tables: dict[str, dict[str, object]]) -> None:
    assert aggregates(recording(**tables)).empty


def test_a_steady_norm_needs_no_logarithm() -> None:
    table = {"overall": np.linspace(1, 1.5, ROWS)}
    assert plots(recording(gradient_norms=table))[0].panels[0].scale == LINEAR
