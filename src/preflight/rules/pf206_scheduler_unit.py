"""PF206: a scheduler that is advanced in another unit than its lengths count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preflight.core.finding import ERROR, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.schedule_facts import replayed
from preflight.telemetry.recording import Recording

# What a length is the length of.
WARMUP, DECAY, CYCLE = "warmup", "decay", "cycle"
STEP, EPOCH = "step", "epoch"
OTHER = {STEP: EPOCH, EPOCH: STEP}
COUNTS = {STEP: "batches", EPOCH: "epochs"}

APART = Threshold(
    "APART", 4, "times apart are a length and the advances of the run", "a warmup or a decay for another run is nearer"
)
NEAR = Threshold(
    "NEAR", 2, "times the run in the other unit is as long as a length in it can be", "runs that are stopped half-way"
)
DEAD = Threshold(
    "DEAD",
    1e-3,
    "of the peak: where the rate lies below that half-way, the run is over",
    "cosine, polynomial and step schedules that train well are above 0.01 there",
)
RESTARTS = Threshold("RESTARTS", 50, "restarts are more than a run can use", "SGDR, arXiv 1608.03983: 2 to 10")
GAP = Threshold(
    "GAP", 0.2, "of the peak between the rate applied and the rate planned", "less is within the choice of a rate"
)


def unit_of(
    lengths: Sequence[tuple[int, str]], unit: str, steps: int, steps_per_epoch: int, half_way: Mapping[str, float]
) -> str:
    """Unit that ``lengths`` (value, role) count, of a scheduler that is advanced once per ``unit``.

    ``half_way`` are its rates over its peak in the middle of the run, by the unit that it would be advanced in. The
    unit it is advanced in, unless the other one fits and this one cannot.
    """
    epochs = max(1, round(steps / steps_per_epoch))
    if unit == EPOCH:
        too_long = any(APART.value * epochs < value <= NEAR.value * steps for value, _ in lengths)
        return STEP if too_long else EPOCH
    ends = [value for value, role in lengths if role == DECAY]
    ends += [value for value, role in lengths if role == CYCLE and _is_restless(value, steps, steps_per_epoch)]
    if any(value >= steps / APART.value for value in ends):
        return STEP
    if half_way[STEP] < DEAD.value <= half_way[EPOCH] and all(value <= APART.value * epochs for value in ends):
        return EPOCH
    return EPOCH if any(epochs / APART.value <= value <= NEAR.value * epochs for value in ends) else STEP


def _is_restless(cycle: int, steps: int, steps_per_epoch: int) -> bool:
    return steps > RESTARTS.value * cycle and cycle % steps_per_epoch != 0


def check(recording: Recording) -> Answer:
    """Judge the replay of the user's scheduler."""
    facts = replayed(recording)
    unit, planned_unit = facts["unit"], facts["length_unit_guess"]
    departure = facts.get("departs_at")
    if planned_unit == unit or departure is None or departure["gap"] <= GAP.value:
        return Clean()
    planned, applied, epoch = departure["planned"], departure["applied"], departure["epoch"]
    counts = COUNTS[planned_unit]
    counted = "its length counts" if facts["lengths"] else "it decays as if it counted"
    place = f"epoch {round(epoch, 1):g}" if unit == EPOCH else f"step {departure['step']}"
    return Finding(
        ERROR,
        f"the scheduler advances once per {unit}, {counted} {counts}: planned {planned:.1e}, applied {applied:.1e} at "
        f"{place}",
        (
            Evidence("distance of the two rates over the peak", departure["gap"], GAP.value),
            *_lengths(facts),
            Evidence("steps of the run", facts["steps"], unit="steps"),
            Evidence("epochs of the run", facts["epochs"], unit="epochs"),
        ),
        (
            Remedy(
                f"advance the scheduler after every {'batch' if planned_unit == STEP else 'epoch'} "
                f"(scheduler_interval: {planned_unit}), or give its lengths in {COUNTS[unit]}",
                {"scheduler_interval": planned_unit} if "params" in recording.info else {},
            ),
        ),
        where=str(facts["kind"]),
        step=int(departure["step"]),
        strength=departure["gap"] / GAP.value,
    )


def _lengths(facts: Mapping[str, Any]) -> list[Evidence]:
    return [Evidence(name, value, unit="advances") for name, value in facts["lengths"].items()]


RULE = Rule(
    code="PF206",
    name="scheduler-unit",
    title="The scheduler advances in the wrong unit",
    detects="The scheduler is replayed without training: it is advanced once per epoch while its lengths count "
    "batches, or once per batch while they count epochs, and the learning rate that results is another one.",
    matters="A warmup of 10 epochs then takes as many epochs as it has batches, or a whole schedule is over within the "
    "first of many; the learning rate on paper is not the one that trains.",
    fix="Advance the scheduler in the unit that its lengths count, or convert the lengths. A warmup that seems too "
    "long, or a learning rate that seems too low, is a symptom of it.",
    check=check,
    thresholds=(APART, NEAR, DEAD, RESTARTS, GAP),
    causes=("PF202", "PF204", "PF207"),
)
