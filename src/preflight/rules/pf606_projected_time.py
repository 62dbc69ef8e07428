"""PF606: how long the run will take."""

from __future__ import annotations

from preflight.core.errors import MissingError
from preflight.core.finding import NOTE, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.pf605_logging_interval import seconds_per_step, spoken
from preflight.telemetry.recording import Recording

LONG_S = Threshold("LONG_S", 86400, "seconds are a run that should be planned", "a day")


def check(recording: Recording) -> Answer:
    """Steps of the long run times what a step takes."""
    steps, seconds = int(recording.fact("schedule", "steps")), seconds_per_step(recording)
    if seconds is None:
        raise MissingError("no probe has looked at 'loading'")
    total = steps * seconds
    if total <= LONG_S.value:
        return Clean()
    return Finding(
        NOTE,
        f"{steps} steps of {seconds:.2g} s take about {spoken(total)}, validation and checkpoints not counted",
        (Evidence("projected time", total, LONG_S.value, "s"), Evidence("seconds per step", seconds, unit="s")),
        (Remedy("make sure of everything else first: a checkpoint that resumes, a log, the other findings"),),
        strength=min(100.0, total / LONG_S.value),
    )


RULE = Rule(
    code="PF606",
    name="projected-time",
    title="The run will take long",
    detects="The steps of the long run, times the median time of a step that was measured on this machine, exceed "
    "LONG_S.",
    matters="What is wrong with a run of days costs days.",
    fix="Look at PF601 first: waiting for data is the part that is cheapest to remove.",
    check=check,
    thresholds=(LONG_S,),
)
