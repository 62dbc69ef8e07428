from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from preflight.core.params import Params
from preflight.report.rates import MAX_GROUPS, OTHERS, REST_COLOR, group_roles, ladders, points, ranked, roles
from preflight.report.sources import Sources

NewRun = Callable[..., Any]
NOW = Params(lr=0.03, batch_size=32, normalization={"input": "none"}, loss_weights={"ce": 1.0})


def test_ladders_come_from_the_run(changed: Any) -> None:
    found = ladders(Sources.read(changed.folder))
    assert [(item.label, len(item.rungs), item.finished) for item in found] == [
        ("inputs as they are", 3, True),
        ("input: standardize", 3, True),
    ]


def test_a_ladder_that_was_cut_short_is_read_from_its_runs(new_run: NewRun) -> None:
    writer = new_run(status="running")
    for index, rate in enumerate((1e-3, 1e-2)):
        writer.trial("range", index, NOW.with_values({"lr": rate}))
    (found,) = ladders(Sources.read(writer.folder))
    assert not found.finished
    assert [rung.lr for rung in found.rungs] == [1e-3, 1e-2]


def test_a_ladder_without_files_is_left_out(new_run: NewRun) -> None:
    writer = new_run(status="running")
    folder = writer.trial("range", 0)
    (folder / "gradient_norms.csv").unlink()
    writer.trial("range", 1, recorded=False)
    assert ladders(Sources.read(writer.folder)) == []


def test_trials_without_a_usable_score_come_last(kept: Any) -> None:
    found = ranked(Sources.read(kept.folder))
    assert [item.info["index"] for item in found] == [1, 4, 0, 2, 3]


def test_points_are_grouped_by_normalization(kept: Any) -> None:
    sources = Sources.read(kept.folder)
    found = points(sources)
    assert [point.group for point in found[:2]] == ["inputs as they are", "input: standardize"]
    assert [point.is_today for point in found] == [True, False, False, False, False]
    assert math.isnan(found[2].score)
    assert group_roles(found, sources)["inputs as they are"] == "today"


def test_points_of_one_normalization_are_grouped_by_outcome(new_run: NewRun) -> None:
    writer = new_run()
    writer.trial("explore", 0)
    writer.trial("explore", 1, NOW.with_values({"lr": 0.1}), status="pruned")
    sources = Sources.read(writer.folder)
    found = points(sources)
    assert [point.group for point in found] == ["completed", "pruned"]
    assert len(set(group_roles(found, sources).values())) == 2


def test_many_normalizations_share_the_last_colour(new_run: NewRun) -> None:
    writer = new_run()
    for index in range(9):
        writer.trial("explore", index, NOW.with_values({"normalization.input": f"kind_{index}"}))
    sources = Sources.read(writer.folder)
    found = points(sources)
    assert len({point.group for point in found}) == MAX_GROUPS + 1
    assert group_roles(found, sources)[OTHERS] == REST_COLOR


def test_the_recommended_normalization_has_the_recommended_colour(changed: Any) -> None:
    found = roles(["inputs as they are", "input: standardize", "input: minmax"], Sources.read(changed.folder))
    assert list(found.values()) == ["today", "other", "c0"]
