"""PF207: the learning rate applied is not the one that the schedule plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.core.model_settings import OWN_SCHEDULE, SCHEDULES
from preflight.rules.base import Rule, Threshold
from preflight.rules.pf206_scheduler_unit import STEP
from preflight.rules.predicates import Array
from preflight.rules.schedule_facts import Plan, replayed
from preflight.telemetry.recording import Recording

GAP = Threshold(
    "GAP", 0.1, "of the peak is the mean distance from the plan", "rounding of a short warmup stays below 0.05"
)
RISEN = Threshold(
    "RISEN", 0.1, "of its way down is too far for a rate to have come back", "the last fifth of a cosine is below that"
)
IDLE = Threshold(
    "IDLE", 0.1, "of the run may train at next to no rate", "a cosine, a line or a cubic is there for its last step"
)
FASTER = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 64)
PARTS = 20
MIN_STEPS = 20


def check(recording: Recording) -> Answer:
    """Compare learning_rates.csv with the replay; a schedule that is over before the end is found without it."""
    known = recording.fact("schedule") if "schedule" in recording.facts else {}
    if known.get("error"):
        return _gives_up(known)
    facts = replayed(recording)
    if not float(facts["peak"]) > 0:
        return _stays_at_zero(facts)
    early = _over_early(facts)
    if early is not None:
        return early
    group = _nearest_to_one(facts)
    applied = recording.column("learning_rates", f"lr_group{group}")
    steps = int(recording.info.get("steps", len(applied)))
    if _is_other(recording, facts) or len(applied) < MIN_STEPS or not np.isfinite(applied).all():
        return Clean()
    scale = _scale(recording, facts)
    whole = int(facts["steps"])
    pace = Pace(Plan.of([(step, lr * scale) for step, lr in facts["applied"]], whole), whole / steps)
    gap = _distance(applied, pace.planned(len(applied), 1)) / (float(facts["peak"]) * scale)
    return Clean() if gap <= GAP.value else _departure(applied, pace, gap, group)


@dataclass(frozen=True)
class Pace:
    """The plan of the long run, in a run of which each row stands for so many of its ``steps``."""

    plan: Plan
    steps: float

    def planned(self, rows: int, speed: int) -> Array:
        """Mean rates of the plan over what each of the first ``rows`` stands for, passed ``speed`` times as fast."""
        return self.plan.means(np.arange(rows + 1, dtype=np.float64) * (speed * self.steps))


def _departure(applied: Array, pace: Pace, gap: float, group: int) -> Finding:
    speed = _speed(applied, pace)
    how = f": it runs {speed} times as fast as planned" if speed > 1 else ""
    # What was thinned is known by its means: these are compared with means.
    parts = np.array_split(np.arange(len(applied)), min(len(applied), len(pace.plan.rates)))
    planned = pace.planned(len(applied), 1)
    worst = max(parts, key=lambda part: abs(float((applied - planned)[part].mean())))
    first, last = int(worst[0]), int(worst[-1])
    place = f"at step {first} it is" if first == last else f"over steps {first} to {last} it is on average"
    return Finding(
        ERROR,
        f"the learning rate applied departs from the schedule{how}; {place} {applied[worst].mean():.2g}, "
        f"planned {planned[worst].mean():.2g}",
        (Evidence("mean distance over the peak", gap, GAP.value), Evidence("times as fast", speed, 1)),
        (_remedy(speed),),
        where=f"lr_group{group}",
        step=first,
        strength=gap / GAP.value,
    )


def _gives_up(facts: Mapping[str, Any]) -> Finding:
    return Finding(
        ERROR,
        f"the scheduler cannot be advanced to the end of the run: {facts['error']}",
        (
            Evidence("length of the scheduler", facts.get("length") or "unknown", unit="advances"),
            Evidence("steps of the run", facts["steps"], unit="steps"),
        ),
        (Remedy("give the scheduler the length of the run"),),
        where=str(facts["kind"]),
    )


def _stays_at_zero(facts: Mapping[str, Any]) -> Finding:
    return Finding(
        ERROR,
        f"the scheduler keeps the learning rate at 0 for all {facts['steps']:,} steps of the run: nothing is trained",
        (Evidence("highest learning rate of the schedule", float(facts["peak"])),),
        (Remedy("look at what the scheduler multiplies the rate by: a division of whole numbers rounds down to 0"),),
        where=str(facts["kind"]),
        strength=1 / GAP.value,
        explains=("PF104", "PF202", "PF401", "PF402"),
    )


def _over_early(facts: Mapping[str, Any]) -> Finding | None:
    """A decay that ends before the run; one in the wrong unit is PF206."""
    decay = facts.get("decay")
    if decay is None or facts["length_unit_guess"] != facts["unit"]:
        return None
    over, advances, risen, idle = (decay[key] for key in ("over", "advances", "risen", "idle"))
    if risen <= RISEN.value and idle <= IDLE.value:
        return None
    then = f"then rises again, {risen:.0%} of the way back to its peak" if risen else "is next to nothing from there on"
    named = f" ({decay['name']} is {decay['value']:,})" if decay["name"] else ""
    noun = "step" if facts["unit"] == STEP else "epoch"
    fitting = f": {decay['name']}={decay['value'] + advances - over}" if decay["name"] else ""
    return Finding(
        ERROR if idle > 0.5 else WARNING,
        f"the decay is over at {noun} {over:,} of {advances:,}{named}, and the learning rate {then}",
        (
            Evidence("share of its way down that the rate has come back", risen, RISEN.value),
            Evidence("share of the run at next to no rate", idle, IDLE.value),
            Evidence("advances of the run", advances, unit="advances"),
        ),
        (Remedy(f"let the decay end with the run{fitting}"),),
        where=str(facts["kind"]),
        step=over if facts["unit"] == STEP else over * int(facts["steps_per_epoch"]),
        strength=max(risen / RISEN.value, idle / IDLE.value),
    )


def _is_other(recording: Recording, facts: Mapping[str, Any]) -> bool:
    """Whether the run was meant to follow another schedule: a constant rate of the ladder, another warmup."""
    own = facts["kind"] if facts["kind"] in SCHEDULES else OWN_SCHEDULE
    if recording.info.get("schedule", own) != own:
        return True
    return "params" in recording.info and recording.params.warmup_fraction != facts["warmup_fraction"]


def _scale(recording: Recording, facts: Mapping[str, Any]) -> float:
    return recording.params.lr / float(facts["lr"]) if "params" in recording.info else 1.0


def _nearest_to_one(facts: Mapping[str, Any]) -> int:
    return int(np.argmin([abs(np.log(group["ratio"])) for group in facts["groups"]]))


def _distance(applied: Array, planned: Array) -> float:
    """Mean over parts of the run of the distance between their mean rates: restarts within a part do not alias."""
    parts = np.array_split(applied - planned, min(PARTS, len(applied)))
    return float(np.mean([abs(part.mean()) for part in parts]))


def _speed(applied: Array, pace: Pace) -> int:
    found = {speed: _distance(applied, pace.planned(len(applied), speed)) for speed in (1, *FASTER)}
    best = min(found, key=found.__getitem__)
    return best if found[best] < found[1] / 5 else 1


def _remedy(speed: int) -> Remedy:
    if speed > 1:
        return Remedy(
            f"advance the scheduler once per optimizer step: with gradients accumulated over {speed} batches, not once "
            "per batch"
        )
    return Remedy("look for a second scheduler, for one that is never advanced, or for code that sets the rate itself")


RULE = Rule(
    code="PF207",
    name="lr-not-as-planned",
    title="The learning rate is not the planned one",
    detects="The recorded rates lie further than GAP of the peak from the replayed schedule; or the scheduler "
    "raises an error before the run is over, or has ended its decay (T_max, total_iters) long before: the "
    "rate has come back by RISEN, or there is next to none for IDLE of the run. Cycles by design (warm restarts, "
    "CyclicLR) are left alone.",
    matters="What was chosen is not what trains: warmups end early, decays are over before the run is, or the run "
    "stops.",
    fix="Give the scheduler the length of the run, and advance it once per optimizer step. With gradient accumulation, "
    "advancing it with every batch makes a schedule run as many times too fast.",
    check=check,
    thresholds=(GAP, RISEN, IDLE),
)
