"""PF605: nothing is logged for too long."""

from __future__ import annotations

from preflight.core.errors import MissingError
from preflight.core.finding import NOTE, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.telemetry.recording import Recording

FIRST_S = Threshold("FIRST_S", 3600, "seconds without a line are too long", "an hour is when somebody looks again")


def check(recording: Recording) -> Answer:
    """Judge the interval of logging against the run, and against the clock where a step was timed."""
    facts = recording.fact("logging")
    interval, horizon = int(facts["interval_steps"]), int(facts["horizon_steps"])
    if interval > horizon:
        return Finding(
            WARNING,
            f"a line is logged every {interval} steps, and the run has {horizon}: nothing is ever logged",
            (Evidence("interval", interval, horizon, "steps"),),
            (Remedy(f"log every {max(1, horizon // 100)} steps"),),
            strength=min(100.0, interval / horizon),
        )
    seconds = seconds_per_step(recording)
    if seconds is None or interval * seconds <= FIRST_S.value:
        return Clean()
    return Finding(
        NOTE,
        f"the first line is logged at step {interval}, after about {spoken(interval * seconds)}",
        (
            Evidence("time to the first line", interval * seconds, FIRST_S.value, "s"),
            Evidence("seconds per step", seconds, unit="s"),
        ),
        (Remedy(f"log every {max(1, int(FIRST_S.value / 10 / seconds))} steps, every step at the beginning"),),
        strength=min(100.0, interval * seconds / FIRST_S.value),
    )


def seconds_per_step(recording: Recording) -> float | None:
    """Median time of a step as it was measured before training; None where it was not."""
    try:
        facts = recording.fact("loading")
        return float(facts["wait_s"]) + float(facts["compute_s"])
    except MissingError:
        return None


def spoken(seconds: float) -> str:
    """``5.2 hours``, ``8.6 days``."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            amount = seconds / size
            return f"{amount:.0f} {unit}" if amount >= 100 else f"{amount:.2g} {unit}"
    return f"{seconds:.2g} seconds"


RULE = Rule(
    code="PF605",
    name="logging-interval",
    title="Nothing is logged for too long",
    detects="The interval of logging is longer than the run, or the first line comes later than FIRST_S, by the time "
    "that a "
    "step was measured to take.",
    matters="A run that fails in its first minutes is found out hours later, or never.",
    fix="Log often at the beginning, and at least a hundred times in a run.",
    check=check,
    thresholds=(FIRST_S,),
)
