from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preflight.report.steps import StageSteps, steps_by_stage, steps_text
from preflight.telemetry.recording import Recording


def trial(purpose: str, steps: int, done: int | None = None) -> Recording:
    info: dict[str, Any] = {"purpose": purpose, "steps": steps}
    return Recording(Path(purpose), info if done is None else {**info, "steps_done": done})


def test_a_pruned_trial_counts_the_steps_that_it_took() -> None:
    runs = [trial("explore", 150, 150), trial("explore", 150, 60), trial("explore", 150, 0)]
    assert steps_by_stage(runs) == (StageSteps("explore", 450, 210),)
    assert steps_text(runs) == "210 of 450 planned: explore 210 of 450"


def test_stages_stand_in_the_order_in_which_they_run_and_add_up() -> None:
    runs = [trial(stage, 1000, 1000) for stage in ("balance", "confirm", "confirm", "explore", "proof", "range")]
    text = "6,000: range 1,000, explore 1,000, confirm 2,000, balance 1,000, proof 1,000"
    assert steps_text(runs) == text
    assert steps_text(runs[::-1]) == text


def test_a_stage_that_nobody_knows_comes_last() -> None:
    assert steps_text([trial("again", 5, 5), trial("proof", 7, 7)]) == "12: proof 7, again 5"


@pytest.mark.parametrize(("runs", "expected"), [([], ""), ([trial("range", 40)], "40: range 40")])
def test_nothing_trained_has_no_text_and_an_older_recording_took_what_was_planned(
    runs: list[Recording], expected: str
) -> None:
    assert steps_text(runs) == expected
