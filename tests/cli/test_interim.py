from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from preflight.cli.interim import show_interim
from preflight.core.params import Params
from preflight.telemetry import store

TODAY = Params(lr=0.03, batch_size=32, normalization={"input": "none"}, loss_weights={"ce": 1.0})
BETTER = TODAY.with_values({"lr": 0.003, "clip_norm": 1.0})
Shown = Callable[..., str]


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    """What is said of a stopped run that explored these settings with these scores."""

    def show(*explored: tuple[Params, float], metric: str = "accuracy") -> str:
        named = {"name": metric, "function": "f", "goal": "maximize"} if metric else None
        store.write_json(tmp_path / store.RUN, {"status": "interrupted", "metric": named})
        store.write_json(tmp_path / store.INSPECTION, {"today": asdict(TODAY)})
        for index, (params, score) in enumerate(explored):
            folder = tmp_path / store.TRIALS / f"explore-{index:03d}"
            folder.mkdir(parents=True)
            store.write_json(folder / store.TRIAL, trial(index, params, score))
        stream = io.StringIO()
        show_interim(Console(file=stream, width=200), tmp_path)
        return stream.getvalue()

    return show


def trial(index: int, params: Params, score: float) -> dict[str, Any]:
    return {
        "purpose": "explore",
        "index": index,
        "params": asdict(params),
        "seed": 0,
        "steps": 150,
        "outcome": {"status": "completed"},
        "score": score,
        "penalized_score": score,
        "metric": 1 - score,
    }


def test_the_leader_is_shown_with_its_changes(shown: Shown) -> None:
    assert shown((TODAY, 0.8), (BETTER, 0.25)).splitlines() == [
        "So far, unconfirmed:",
        "  lr: 0.03 -> 0.003",
        "  clip_norm: no clipping -> 1",
        "  score 0.8 -> 0.25, accuracy 0.2 -> 0.75 in one trial of 150 steps each, the best of 2 explored trials",
    ]


def test_a_task_without_a_metric_has_none(shown: Shown) -> None:
    assert "  score 0.8 -> 0.25 in one trial" in shown((TODAY, 0.8), (BETTER, 0.25), metric="")


def test_nothing_better_is_said_as_well(shown: Shown) -> None:
    assert shown((TODAY, 0.2), (BETTER, 0.25)).splitlines() == [
        "So far, unconfirmed:",
        "  none of 2 explored trials is better than today's settings",
        "  score 0.2, best of the others 0.25, in one trial of 150 steps each",
    ]


def test_nothing_is_said_where_nothing_finished(shown: Shown) -> None:
    assert shown() == ""


def test_nothing_is_said_where_only_todays_settings_did(shown: Shown) -> None:
    assert shown((TODAY, 0.8)) == ""
