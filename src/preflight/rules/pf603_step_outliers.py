"""PF603: some steps take many times as long as the others."""

from __future__ import annotations

import numpy as np

from preflight.core.finding import NOTE, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.predicates import Array
from preflight.telemetry.recording import Recording

SLOW = Threshold(
    "SLOW", 5, "times the median is a slow step", "the scheduler of a busy machine stays below 3 as a rule"
)
COST = Threshold("COST", 0.2, "of the time is what slow steps cost beyond the median", "less is not worth the search")
FLOOR_S = Threshold(
    "FLOOR_S",
    0.1,
    "seconds are a slow step at least",
    "a machine with twice as many processes as cores takes one off its core for 0.02 to 0.035 s",
)
MIN_STEPS, FEWEST = 10, 2


def check(recording: Recording) -> Answer:
    """Judge the seconds of the steps that were timed before training."""
    steps = np.asarray(recording.fact("loading", "steps_s"), dtype=np.float64)
    if len(steps) < MIN_STEPS:
        return Clean()
    slow, cost = slow_steps(steps)
    if len(slow) < FEWEST or cost <= COST.value:
        return Clean()
    worst = float(steps.max() / np.median(steps))
    return Finding(
        NOTE,
        f"{len(slow)} of {len(steps)} steps take more than {SLOW.value:g} times the median of {np.median(steps):.2g} "
        "s, up "
        f"to {worst:.3g} times, and cost {cost:.0%} of the time",
        (
            Evidence("slowest step over the median", worst, SLOW.value, "x"),
            Evidence("time beyond the median in slow steps", cost, COST.value),
        ),
        (Remedy("look at what happens in these steps: a shard being opened, a checkpoint, a garbage collection"),),
        step=slow[0],
        strength=cost / COST.value,
    )


def slow_steps(steps: Array) -> tuple[list[int], float]:
    """Numbers of the slow ones of ``steps[T]`` in seconds, and the share of the time that they cost."""
    usual = float(np.median(steps))
    slow: list[int] = np.flatnonzero(steps > max(FLOOR_S.value, SLOW.value * usual)).tolist()
    return slow, float((steps[slow] - usual).sum() / steps.sum())


RULE = Rule(
    code="PF603",
    name="step-outliers",
    title="Some steps take many times as long as others",
    detects="Several of the timed steps take more than SLOW times their median and more than FLOOR_S, and cost more "
    "than COST "
    "of the time.",
    matters="Their cost is hidden in an average; with several devices all wait for the slowest.",
    fix="Find out which batches they are; larger prefetching hides single slow reads.",
    check=check,
    thresholds=(SLOW, COST, FLOOR_S),
)
