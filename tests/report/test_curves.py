from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from preflight.report.comparison import Side, compare
from preflight.report.curves import (
    LINEAR,
    LOG,
    MAX_COMPONENTS,
    MAX_LINES,
    MAX_POINTS,
    SYMLOG,
    Line,
    component_curves,
    loss_curve,
    median,
    norm_curve,
    norm_scale,
    scale,
    score_curve,
    score_scale,
    thin,
)
from preflight.report.sources import Sources

NewRun = Callable[..., Any]


def side_of(writer: Any) -> Side:
    found = compare(Sources.read(writer.folder))
    assert found is not None
    return found.sides[0]


def test_a_thinned_line_keeps_the_extremes() -> None:
    y = np.sin(np.arange(5000.0))
    y[1234], y[4321] = 50.0, -50.0
    x, kept = thin(np.arange(5000.0), y)
    assert len(kept) <= MAX_POINTS
    assert kept.max() == 50.0
    assert kept.min() == -50.0
    assert (np.diff(x) > 0).all()


def test_a_thinned_line_has_no_values_that_are_not_finite() -> None:
    x, y = thin(np.arange(4.0), np.array([1.0, np.nan, np.inf, 2.0]))
    assert x.tolist() == [0.0, 3.0]
    assert y.tolist() == [1.0, 2.0]


def test_short_lines_are_left_as_they_are() -> None:
    assert thin(np.arange(3.0), np.array([3.0, 1.0, 2.0]))[1].tolist() == [3.0, 1.0, 2.0]


def test_the_median_ends_where_most_runs_diverged() -> None:
    steps = np.arange(4.0)
    short = [Line(steps[:2], np.array([3.0, 3.0]), diverged=True) for _ in range(2)]
    found = median([*short, Line(steps, np.ones(4))])
    assert found.x.tolist() == [0.0, 1.0]
    assert found.y.tolist() == [3.0, 3.0]


def test_a_run_that_was_stopped_does_not_count_after_its_end() -> None:
    steps = np.arange(3.0)
    found = median([Line(steps[:1], np.array([5.0])), Line(steps, np.array([1.0, 2.0, 3.0]))])
    assert found.y.tolist() == [3.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0], LINEAR),
        ([0.01, 1.0], LOG),
        ([-1.0, 1.0], LINEAR),
        ([-1.0, 1.0, 1.0, 1e5], SYMLOG),
        ([np.nan, np.inf], LINEAR),
        ([], LINEAR),
        ([0.0, 0.0], LINEAR),
    ],
)
def test_the_axis_follows_the_values(values: list[float], expected: str) -> None:
    assert scale(np.array(values)) == expected


def test_scores_share_their_axis_with_the_constant_predictor() -> None:
    assert score_scale(np.array([0.01, 0.02])) == LOG
    assert score_scale(np.array([0.9, 1.1, np.nan])) == LINEAR


def test_curves_hold_at_most_five_lines_and_count_all_runs(new_run: NewRun) -> None:
    writer = new_run()
    for index in range(7):
        writer.trial("proof", index, seed=index)
    found = loss_curve(side_of(writer), 32)
    assert found is not None
    assert len(found.lines) == MAX_LINES
    assert found.runs == 7


def test_scores_are_where_they_were_evaluated(new_run: NewRun) -> None:
    writer = new_run()
    writer.trial("proof", 0)
    found = score_curve(side_of(writer), 32)
    assert found is not None
    assert found.lines[0].x.tolist() == [9, 19, 29, 39, 49, 59]


def test_steps_are_counted_at_todays_batch_size(new_run: NewRun) -> None:
    writer = new_run()
    writer.trial("proof", 0)
    found = loss_curve(side_of(writer), 64)
    assert found is not None
    assert found.lines[0].x[-1] == 29.5


def test_a_missing_file_is_not_recorded(new_run: NewRun) -> None:
    writer = new_run()
    folder = writer.trial("proof", 0)
    (folder / "losses.csv").unlink()
    side = side_of(writer)
    assert score_curve(side, 32) is None
    assert loss_curve(side, 32) is None
    assert norm_curve(side, 32) is not None


def test_without_any_file_there_are_no_components(new_run: NewRun) -> None:
    writer = new_run()
    writer.trial("proof", 0, recorded=False, status="crashed")
    assert component_curves(side_of(writer), 32) == []


def test_runs_that_diverged_before_their_first_evaluation_count_in_the_median(new_run: NewRun) -> None:
    writer = new_run()
    for seed in range(2):
        writer.trial("proof", seed, seed=seed, status="diverged", steps_done=5)
    writer.trial("proof", 2, seed=2)
    found = score_curve(side_of(writer), 32)
    assert found is not None
    assert found.runs == 3
    assert len(found.lines) == 1
    assert len(found.median) == 0


def test_only_the_largest_components_are_drawn_in_the_order_of_the_model(new_run: NewRun) -> None:
    names = tuple(f"part_{index}" for index in range(9))
    writer = new_run(components=names)
    writer.trial("proof", 0)
    found = component_curves(side_of(writer), 32)
    assert [curve.label for curve in found] == list(names[-MAX_COMPONENTS:])


def test_a_dead_component_leaves_the_axis_logarithmic(new_run: NewRun) -> None:
    writer = new_run()
    writer.trial("proof", 0, score=0.0)
    curves = component_curves(side_of(writer), 32)
    assert min(curve.median.y.min() for curve in curves) == 0.0
    assert norm_scale(curves) == LOG
