"""The answer of a run in one sentence, and what has to be said beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from preflight.advise.recommendation import CANNOT_TELL, CHANGE, KEEP, Recommendation
from preflight.report import format as fmt
from preflight.report.interim import interim
from preflight.report.margins import walls
from preflight.report.sources import Sources
from preflight.report.typical import typical, typical_metric

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
        sentence = "No recommendation: the run has not come that far."
        return Verdict(UNFINISHED, "No answer", sentence, alert, _so_far(sources))
    sentence = _change(answer, sources) if answer.decision == CHANGE else _no_change(answer, sources)
    notes = (extrapolation(sources), *walls(sources), _unmapped(sources), _not_written(sources))
    return Verdict(answer.decision, TITLES[answer.decision], sentence, alert, tuple(note for note in notes if note))


def extrapolation(sources: Sources) -> str:
    """What part of the long run was trained; empty where all of it was, or nothing was confirmed."""
    answer, horizon = sources.recommendation, int(sources.inspection["length"]["horizon_steps"])
    if answer is None or not 0 < answer.steps < horizon:
        return ""
    return f"Measured over {fmt.whole(answer.steps)} of {fmt.whole(horizon)} steps; the rest is extrapolated."


def _so_far(sources: Sources) -> tuple[str, ...]:
    found = interim(sources)
    if found is None:
        return ()
    before, after = map(fmt.number, found.scores)
    steps = fmt.count(found.best.steps, "step")
    trials = fmt.count(found.trials, "explored trial")
    if not found.is_better:
        text = f"none of {trials} is better than today's settings (score {before}; best of the others {after})"
        return (f"So far, unconfirmed: {text}.",)
    changes = ", ".join(
        f"{name} {fmt.setting(name, old)} {fmt.ARROW} {fmt.setting(name, new)}"
        for name, (old, new) in found.changes.items()
    )
    scores = f"validation score {before} {fmt.ARROW} {after}"
    metrics = _pair(sources.metric_name, found.today.metric, found.best.metric)
    return (f"So far, unconfirmed: {changes}; {scores}{metrics} in one trial of {steps} each, the best of {trials}.",)


def _change(answer: Recommendation, sources: Sources) -> str:
    what = f"Change {fmt.count(len(answer.changes), 'setting')}"
    gain = answer.gain
    if gain is None or answer.before is None or answer.after is None:
        return f"{what}: {answer.reason}."
    both = typical(answer.before, answer.after)
    before, after = map(fmt.number, both.scores)
    metrics = _pair(sources.metric_name, typical_metric(answer.before), typical_metric(answer.after))
    return (
        f"{what}: validation score {before} {fmt.ARROW} {after} "
        f"({both.of(fmt.count(both.seeds, 'fresh seed'))}; gain {fmt.percent(gain.gain)}, "
        f"{fmt.confidence()} interval {fmt.interval(gain)}){metrics}{' (mean)' if metrics else ''}."
    )


def _pair(metric_name: str, before: float, after: float) -> str:
    if not metric_name or (math.isnan(before) and math.isnan(after)):
        return ""
    return f", {metric_name} {fmt.number(before)} {fmt.ARROW} {fmt.number(after)}"


def _no_change(answer: Recommendation, sources: Sources) -> str:
    what = "Keep your config" if answer.decision == KEEP else "Cannot tell"
    return f"{what}: {answer.reason}.{_today(answer, sources)}"


def _today(answer: Recommendation, sources: Sources) -> str:
    if answer.before is None or not answer.before.scores:
        return ""
    found, metric = typical(answer.before), typical_metric(answer.before)
    and_metric = (
        f", {sources.metric_name} {fmt.number(metric)} (mean)" if sources.metric_name and math.isfinite(metric) else ""
    )
    score = f"{fmt.number(found.scores[0])} ({found.of(fmt.count(found.seeds, 'seed'))})"
    return f" Today's settings have a validation score of {score}{and_metric}."


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
    done = {stage: len(sources.finished(stage)) for stage in ("range", "explore", "confirm", "proof")}
    stages = {
        "range": fmt.count(done["range"], "learning-rate run"),
        "explore": f"{fmt.whole(done['explore'])} of {fmt.count(max(planned, done['explore']), 'explored trial')}",
        "confirm": fmt.count(done["confirm"], "confirming run"),
        "proof": fmt.count(done["proof"], "run on fresh seeds", "runs on fresh seeds"),
    }
    return ", ".join(text for stage, text in stages.items() if done[stage]) or "no run"


def _not_written(sources: Sources) -> str:
    problem = str(sources.run.info.get("not_written", ""))
    return f"The corrected config is not written: {problem}." if problem else ""


def _unmapped(sources: Sources) -> str:
    names = list(sources.run.info.get("unmapped", []))
    if not names:
        return ""
    if not sources.inspection.get("config"):
        return "The task names no file to correct: make these changes by hand."
    return f"Not in your file, so change it by hand: {', '.join(names)}."
