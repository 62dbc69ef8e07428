"""PF204: a warmup that takes most of the run."""

from __future__ import annotations

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.core.model_settings import SCHEDULES
from preflight.rules import pf206_scheduler_unit
from preflight.rules.base import Rule, Threshold
from preflight.rules.progress import MIN_STEPS
from preflight.rules.schedule_facts import replayed
from preflight.telemetry.recording import Recording

LONG = Threshold(
    "LONG",
    0.5,
    "of the run is more than a warmup takes",
    "linear warmups take 0.01 to 0.1, one cycle rises over 0.3 to 0.45 (arXiv 1708.07120)",
)
USUAL = 0.05


def check(recording: Recording) -> Answer:
    """Judge the replayed rates; what a wrong unit explains is not said twice."""
    if isinstance(pf206_scheduler_unit.RULE.judge(recording), Finding):
        return Clean()
    try:
        facts = replayed(recording)
    except MissingError:
        share, steps, own = float(recording.setting("warmup_fraction") or 0.0), recording.steps, True
    else:
        share, steps, own = float(facts["warmup_share"]), int(facts["steps"]), facts["kind"] in SCHEDULES
    if share <= LONG.value or steps < MIN_STEPS:
        return Clean()
    return Finding(
        ERROR if share >= 0.9 else WARNING,
        f"the learning rate rises over {share:.0%} of the run",
        (Evidence("share of the run before the peak", share, LONG.value),),
        (Remedy("shorten the warmup", {"warmup_fraction": USUAL} if own else {}),),
        strength=share / LONG.value,
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
    thresholds=(LONG,),
    causes=("PF202",),
)
