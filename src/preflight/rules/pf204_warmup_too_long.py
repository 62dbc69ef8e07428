"""PF204: a warmup that takes most of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.core.model_settings import SCHEDULES
from preflight.rules import pf206_scheduler_unit
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.pf206_scheduler_unit import STEP
from preflight.rules.progress import MIN_STEPS
from preflight.rules.schedule_facts import replayed
from preflight.telemetry.recording import Recording

LONG = Threshold(
    "LONG",
    0.5,
    "of the run is more than a warmup takes",
    "linear warmups take 0.01 to 0.1, one cycle rises over 0.3 to 0.45 (arXiv 1708.07120)",
)
TARGET = Threshold(
    "TARGET", 0.1, "of the run is what a warmup should take at most", "linear warmups take 0.01 to 0.1, as for LONG"
)
USUAL = 0.05
REACHED = 0.99  # of the peak is the peak


def check(recording: Recording) -> Answer:
    """Judge the replayed rates; what a wrong unit explains is not said twice."""
    if isinstance(pf206_scheduler_unit.RULE.judge(recording), Finding):
        return Clean()
    facts = _facts(recording)
    share, steps, warmup = float(facts["warmup_share"]), int(facts["steps"]), facts.get("warmup")
    if share <= LONG.value:
        return Clean()
    if steps < MIN_STEPS:
        return too_few("the run", steps, MIN_STEPS, "steps")
    per, noun = (1, "step") if facts.get("unit", STEP) == STEP else (int(facts["steps_per_epoch"]), "epoch")
    evidence = [Evidence("share of the run before the peak", share, LONG.value)]
    message = f"the learning rate rises over {share:.0%} of the run"
    if warmup:
        evidence.append(Evidence(warmup["name"] or "warmup", warmup["advances"], unit=f"{noun}s"))
        evidence.append(Evidence("share of the peak that is reached", warmup["reached"], 1.0))
        named = f" ({warmup['name']})" if warmup["name"] else ""
        message += f": its warmup takes {warmup['advances']:,} {noun}s{named}, and the run has {steps // per:,}"
        message += f"; {warmup['reached']:.1%} of the peak is reached" if warmup["reached"] < REACHED else ""
    return Finding(
        ERROR if share >= 0.9 else WARNING,
        message,
        tuple(evidence),
        (_remedy(steps // per, noun, facts["kind"] in SCHEDULES),),
        strength=share / LONG.value,
    )


def _facts(recording: Recording) -> Mapping[str, Any]:
    """The replay; where there is none, the setting tells of preflight's own schedules, and of no one else's."""
    try:
        return replayed(recording)
    except MissingError:
        known = recording.facts.get("schedule", {})
        if known.get("kind", SCHEDULES[0]) not in SCHEDULES or "schedule" in recording.facts.get("failed", {}):
            raise
    share = float(recording.setting("warmup_fraction") or 0.0)
    return {"kind": SCHEDULES[0], "warmup_share": share, "steps": known.get("steps") or recording.steps}


def _remedy(advances: int, noun: str, is_setting: bool) -> Remedy:
    share = USUAL if is_setting else TARGET.value
    target = max(1, int(share * advances))
    some = f"{target:,} {noun}{'s' if target > 1 else ''}"
    return Remedy(
        f"shorten the warmup to {some}, {share:.0%} of the run{'' if is_setting else ', or less'}",
        {"warmup_fraction": USUAL} if is_setting else {},
    )


RULE = Rule(
    code="PF204",
    name="warmup-too-long",
    title="The warmup takes most of the run",
    detects="The schedule is replayed: its rate first comes near its peak after more than LONG of the run.",
    matters="For most of its time the run trains at a rate that nobody chose, and it ends where the training begins.",
    fix="Warm up over 1 to 10 percent of the run. A warmup that only looks long because the scheduler advances in the "
    "wrong unit is PF206.",
    check=check,
    thresholds=(LONG, TARGET),
    causes=("PF202",),
)
