"""PF509: a metric that is the same whatever is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.fields import LEARNED
from preflight.telemetry.recording import Recording

RUNS = Threshold(
    "RUNS", 5, "runs of other settings at least", "a metric of few classes may be the same in two or three"
)


def check(recording: Recording) -> Answer:
    """Judge the metrics that the runs of the search ended with, against their scores."""
    found: Mapping[str, Any] = recording.fact("search", "metric")
    value, runs, best, worst = found["lowest"], int(found["runs"]), float(found["best"]), float(found["worst"])
    if runs < RUNS.value:
        raise MissingError(f"{runs} runs of the search have a metric, and {RUNS.value:g} are needed")
    is_empty = value == 0 and found["goal"] == "maximize"
    if value != found["highest"] or best >= LEARNED or not (is_empty or worst >= LEARNED):
        return Clean()
    return Finding(
        ERROR,
        f"{found['name']} is {value:g} in all {runs} runs of the search, while their scores go from {worst:.3g} to "
        f"{best:.3g}, where 1 is a constant output: "
        + ("what counts was reset before it is read, or never filled" if is_empty else "it does not see the outputs"),
        (
            Evidence(f"{found['name']} in runs of other settings", value),
            Evidence("score of the best of them", best, LEARNED),
            Evidence("runs", runs, RUNS.value),
        ),
        (
            Remedy("read the meter before it is reset, and check that it is the one that the evaluation updates"),
            Remedy("compare predictions and labels of one batch by eye, and count the right ones by hand"),
        ),
        where=str(found["name"]),
        strength=LEARNED / max(best, 1e-3),
    )


RULE = Rule(
    code="PF509",
    name="metric-never-moves",
    title="The metric is the same whatever is trained",
    detects="At least RUNS runs of the search end with exactly the same metric, although one of them has learned and "
    "another has not; or with a metric to be maximized of exactly zero, although one of them has learned.",
    matters="Nobody can choose an epoch or a setting by it, and a run that learns looks like one that does not.",
    fix="Follow the value back to the meter that holds it: it is read after it was reset, or it is another one than "
    "the evaluation updates.",
    check=check,
    thresholds=(RUNS,),
    causes=("PF501", "PF504"),
)
