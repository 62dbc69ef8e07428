"""The answer of a run in one sentence, and what has to be said beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from preflight.advise.recommendation import CANNOT_TELL, CHANGE, KEEP, Measured, Recommendation
from preflight.report import format as fmt
from preflight.report.sources import Sources

TITLES = {CHANGE: "Change", KEEP: "Keep", CANNOT_TELL: "Cannot tell"}
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Verdict:
    """``kind`` is the decision or :data:`UNFINISHED`; ``alert`` says that the run was cut short."""

    kind: str
    title: str
    sentence: str
    alert: str
    notes: tuple[str, ...]


def verdict(sources: Sources) -> Verdict:
    """What the run answers, and how far its measurements carry."""
    answer, alert = sources.recommendation, _alert(sources)
    if answer is None:
        return Verdict(UNFINISHED, "No answer", "No recommendation: the run has not come that far.", alert, ())
    sentence = _change(answer, sources) if answer.decision == CHANGE else _no_change(answer, sources)
    notes = (extrapolation(sources), _unmapped(sources))
    return Verdict(answer.decision, TITLES[answer.decision], sentence, alert, tuple(note for note in notes if note))


def extrapolation(sources: Sources) -> str:
    """What part of the long run was trained; empty where all of it was, or nothing was confirmed."""
    answer, horizon = sources.recommendation, int(sources.inspection["length"]["horizon_steps"])
    if answer is None or not 0 < answer.steps < horizon:
        return ""
    return f"Measured over {fmt.whole(answer.steps)} of {fmt.whole(horizon)} steps; the rest is extrapolated."


def typical_score(scores: Mapping[int, float]) -> float:
    """Geometric mean over seeds, whose ratio is what a gain states; NaN for no seeds."""
    values = [max(score, 1e-6) for score in scores.values() if math.isfinite(score)]
    return math.exp(sum(math.log(value) for value in values) / len(values)) if values else math.nan


def typical_metric(metrics: Mapping[int, float]) -> float:
    """Mean over the seeds that have one; NaN for none."""
    values = [metric for metric in metrics.values() if math.isfinite(metric)]
    return sum(values) / len(values) if values else math.nan


def _change(answer: Recommendation, sources: Sources) -> str:
    what = f"Change {fmt.count(len(answer.changes), 'setting')}"
    gain = answer.gain
    if gain is None or answer.before is None or answer.after is None:
        return f"{what}: {answer.reason}."
    before, after = typical_score(answer.before.scores), typical_score(answer.after.scores)
    return (
        f"{what}: validation score {fmt.number(before)} {fmt.ARROW} {fmt.number(after)} "
        f"(gain {fmt.percent(gain.gain)}, {fmt.confidence()} interval {fmt.interval(gain)}, "
        f"{fmt.count(gain.seeds, 'fresh seed')}){_metrics(sources, answer.before, answer.after)}."
    )


def _metrics(sources: Sources, before: Measured, after: Measured) -> str:
    pair = [typical_metric(side.metrics) for side in (before, after)]
    if not sources.metric_name or all(math.isnan(value) for value in pair):
        return ""
    return f", {sources.metric_name} {fmt.number(pair[0])} {fmt.ARROW} {fmt.number(pair[1])}"


def _no_change(answer: Recommendation, sources: Sources) -> str:
    what = "Keep today's settings" if answer.decision == KEEP else "Cannot tell"
    return f"{what}: {answer.reason}.{_today(answer, sources)}"


def _today(answer: Recommendation, sources: Sources) -> str:
    if answer.before is None or not answer.before.scores:
        return ""
    score = fmt.number(typical_score(answer.before.scores))
    metric = typical_metric(answer.before.metrics)
    and_metric = (
        f", {sources.metric_name} {fmt.number(metric)}" if sources.metric_name and math.isfinite(metric) else ""
    )
    seeds = fmt.count(len(answer.before.scores), "seed")
    return f" Today's settings have a validation score of {score}{and_metric} over {seeds}."


def _alert(sources: Sources) -> str:
    status = str(sources.run.info.get("status", ""))
    if status == "done":
        return ""
    how = {
        "interrupted": "This run was interrupted.",
        "running": "This run has not finished: it is still going, or it ended with an error.",
    }.get(status, f"This run ended early ({status}).")
    return f"{how} Finished so far: {finished(sources)}."


def finished(sources: Sources) -> str:
    """Finished trials of each stage that was begun."""
    planned = int(sources.run.info.get("budget", {}).get("trials", 0))
    explored = len(sources.of("explore"))
    stages = {
        "range": fmt.count(len(sources.of("range")), "learning-rate run"),
        "explore": f"{fmt.whole(explored)} of {fmt.count(max(planned, explored), 'explored trial')}",
        "confirm": fmt.count(len(sources.of("confirm")), "confirming run"),
        "proof": fmt.count(len(sources.of("proof")), "run on fresh seeds", "runs on fresh seeds"),
    }
    return ", ".join(text for stage, text in stages.items() if sources.of(stage)) or "no run"


def _unmapped(sources: Sources) -> str:
    names = list(sources.run.info.get("unmapped", []))
    if not names:
        return ""
    if not sources.inspection.get("config"):
        return "The task names no file to correct: make these changes by hand."
    return f"Not in your file, so change it by hand: {', '.join(names)}."
