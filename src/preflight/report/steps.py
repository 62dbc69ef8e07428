"""Optimizer steps of a run by stage: those its trials were planned for, and those they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from preflight.report import format as fmt
from preflight.telemetry.recording import Recording

ORDER = ("range", "explore", "confirm", "balance", "proof")


@dataclass(frozen=True)
class StageSteps:
    """Steps of all recorded trials of one stage, each counted at its own batch size."""

    stage: str
    planned: int
    done: int


def steps_by_stage(recordings: Sequence[Recording]) -> tuple[StageSteps, ...]:
    """Each stage once; a trial that was given up or lost took fewer than planned."""
    stages = dict.fromkeys(recording.purpose for recording in recordings)
    found = ([item for item in recordings if item.purpose == stage] for stage in stages)
    return tuple(
        StageSteps(items[0].purpose, sum(item.steps for item in items), sum(map(_done, items))) for items in found
    )


def steps_text(recordings: Sequence[Recording]) -> str:
    """``9,400 of 10,000 planned: range 1,000, explore 2,400 of 3,000, confirm 6,000``; empty without a trial.

    The confirming stage holds all that is trained on its seeds: candidates, remedies, rates around the best, and single
    changes.
    """
    stages = sorted(steps_by_stage(recordings), key=lambda item: _place(item.stage))
    if not stages:
        return ""
    each = ", ".join(f"{item.stage} {_of(item.done, item.planned)}" for item in stages)
    done, planned = sum(item.done for item in stages), sum(item.planned for item in stages)
    return f"{_of(done, planned)}{' planned' * (done != planned)}: {each}"


def _place(stage: str) -> int:
    return ORDER.index(stage) if stage in ORDER else len(ORDER)


def _of(done: int, planned: int) -> str:
    return fmt.whole(done) if done == planned else f"{fmt.whole(done)} of {fmt.whole(planned)}"


def _done(recording: Recording) -> int:
    return int(recording.info.get("steps_done", recording.steps))
