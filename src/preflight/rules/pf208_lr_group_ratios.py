"""PF208: parameter groups that lose the ratio of their learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.schedule_facts import replayed
from preflight.telemetry.recording import Recording

OFF = Threshold("OFF", 1.05, "times too large or too small is another ratio than the declared one", "rounding of a log")


def check(recording: Recording) -> Answer:
    """Judge the replay: a scheduler that sets all groups to one rate; and the recorded rates beside the declared."""
    groups: Sequence[Mapping[str, Any]] = replayed(recording)["groups"]
    declared = np.array([group["ratio"] for group in groups], dtype=float)
    if len(declared) < 2:
        return Clean()
    peaks = np.array([group["peak"] for group in groups], dtype=float)
    if _are_equal(peaks) and not _are_equal(declared):
        return _finding(declared, peaks, "the scheduler sets every parameter group to the same rate")
    try:
        rates = np.stack([recording.column("learning_rates", f"lr_group{index}") for index in range(len(groups))])
    except MissingError:
        return Clean()  # the replay alone is fine
    highest = rates.max(axis=1)
    if not (np.isfinite(highest) & (highest > 0) & (peaks > 0)).all():
        return Clean()
    expected, applied = peaks / peaks[0], highest / highest[0]
    off = float(np.exp(np.abs(np.log(applied / expected)).max()))
    return Clean() if off <= OFF.value else _finding(expected, highest, "the recorded rates of the groups differ")


def _are_equal(values: Any) -> bool:
    return bool(values.min() > 0 and values.max() <= OFF.value * values.min())


def _finding(declared: Any, applied: Any, what: str) -> Finding:
    wanted, found = declared / declared[0], applied / applied[0]
    worst = int(np.argmax(np.abs(np.log(found / wanted))))
    off = float(np.exp(abs(np.log(found[worst] / wanted[worst]))))
    return Finding(
        WARNING,
        f"{what}: group {worst} has {found[worst]:.3g} times the rate of group 0, where {wanted[worst]:.3g} times was "
        "declared",
        (Evidence("declared ratio", float(wanted[worst])), Evidence("applied ratio off by", off, OFF.value, "x")),
        (
            Remedy(
                "give the scheduler a rate for every group, such as max_lr=[...], or one that scales their own rates"
            ),
        ),
        where=f"lr_group{worst}",
        strength=min(100.0, off / OFF.value),
    )


RULE = Rule(
    code="PF208",
    name="lr-group-ratios",
    title="Parameter groups lose the ratio of their rates",
    detects="The task declares different rates for its groups; the replayed scheduler, or the recorded rates, have "
    "another "
    "ratio between them, by more than OFF times.",
    matters="A head that was to learn ten times faster than its backbone learns at the same rate, or a pretrained "
    "backbone "
    "at that of the head.",
    fix="Schedulers with an absolute rate (OneCycleLR, CyclicLR) take a list with one for each group.",
    check=check,
    thresholds=(OFF,),
)
