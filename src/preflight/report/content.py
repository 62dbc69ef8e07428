"""What the page says: a run -> texts, rows and numbers that are texts already. Nothing is drawn here."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from preflight.advise.recommendation import CHANGE, Recommendation
from preflight.report import format as fmt
from preflight.report.agreement import agreement_text
from preflight.report.comparison import CONFIRM, EXPLORE, PROOF, Comparison, Side
from preflight.report.fields import FieldTable, checkpoint_text, field_tables, length_text
from preflight.report.findings import Card, cards, summary
from preflight.report.lengths import lengths_text
from preflight.report.long_run import LongRun, long_run
from preflight.report.losses import LossTable, loss_table
from preflight.report.margins import Margins, Mattered, margins, mattered
from preflight.report.noise import NoiseTable, noise_table
from preflight.report.rates import Ladder, ladder_note
from preflight.report.sources import Sources, is_recorded, outcome
from preflight.report.steps import steps_text
from preflight.report.tables import (
    ChangeRow,
    LadderTable,
    SeedRow,
    SettingRow,
    TrialRow,
    change_rows,
    ladder_table,
    seed_rows,
    setting_rows,
    trial_rows,
)
from preflight.report.verdict import Verdict, extrapolation, verdict
from preflight.report.weights import WeightTable, weight_table
from preflight.telemetry import store

MAX_ENDS = 5
_RUNS = {
    PROOF: ("run on a fresh seed", "runs on fresh seeds"),
    CONFIRM: ("confirming run", "confirming runs"),
    EXPLORE: ("explored trial", "explored trials"),
}


@dataclass(frozen=True)
class Fact:
    """A line of the header."""

    name: str
    value: str
    is_code: bool = False


@dataclass(frozen=True)
class DiffLine:
    """``kind`` is add, remove, hunk, file or same."""

    kind: str
    text: str


@dataclass(frozen=True)
class Trajectories:
    """Which runs the trajectories show, and how those ended that did not complete."""

    caption: str
    ends: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """Everything on the page but its figures."""

    model: str
    verdict: Verdict
    facts: tuple[Fact, ...]
    metric: str
    changes: tuple[ChangeRow, ...]
    change_steps: str
    lengths: str
    margins: Margins | None
    mattered: Mattered | None
    long_run: LongRun | None
    other_label: str
    seeds: tuple[SeedRow, ...]
    diff: tuple[DiffLine, ...]
    ladders: tuple[LadderTable, ...]
    ladder_note: str
    weights: WeightTable | None
    noise: NoiseTable | None
    trajectories: Trajectories | None
    trials: tuple[TrialRow, ...]
    more_trials: str
    findings: tuple[Card, ...]
    asked: str
    notes: tuple[str, ...]
    fields: tuple[FieldTable, ...]
    losses: LossTable
    settings: tuple[SettingRow, ...]
    length: str
    reading: tuple[str, ...]


def page_content(sources: Sources, found: list[Ladder], comparison: Comparison | None) -> Page:
    """The whole page of a run, whichever way it ended."""
    return Page(
        model=str(sources.run.info["model"]),
        verdict=verdict(sources),
        facts=_facts(sources),
        metric=sources.metric_name,
        changes=change_rows(sources),
        change_steps=_change_steps(sources.recommendation),
        lengths=_lengths(sources),
        margins=margins(sources),
        mattered=mattered(sources),
        long_run=long_run(sources),
        other_label="recommended" if sources.decision == CHANGE else "best candidate",
        seeds=seed_rows(sources),
        diff=diff_lines(sources.run.text(store.DIFF) or ""),
        ladders=tuple(ladder_table(ladder, sources) for ladder in found),
        ladder_note=ladder_note(sources.run) if any(ladder.rungs for ladder in found) else "",
        weights=weight_table(sources.run.document(store.LOSS_WEIGHTS), sources.today.flat()),
        noise=noise_table(sources.run.document(store.NOISE_SCALE), sources.run.facts, sources.today.batch_size),
        trajectories=None if comparison is None else _trajectories(comparison, sources.today.batch_size),
        trials=trial_rows(sources),
        more_trials=_more_trials(sources),
        findings=cards(sources.findings),
        asked="" if sources.findings is None else summary(sources.findings),
        notes=tuple(map(str, sources.inspection.get("notes", ()))),
        fields=field_tables(sources.inspection),
        losses=loss_table(sources.inspection, sources.run.document(store.FACTS) or {}),
        settings=setting_rows(sources.inspection, sources.run.info.get("unmapped", [])),
        length=length_text(sources.inspection),
        reading=_reading(sources),
    )


def sentence(text: str) -> str:
    """With a capital and a full stop; nothing of nothing."""
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _lengths(sources: Sources) -> str:
    """Whether short runs tell what longer ones do."""
    answer = sources.recommendation
    texts = [] if answer is None else [sentence(lengths_text(answer)), agreement_text(sources)]
    return " ".join(text for text in texts if text)


def _change_steps(answer: Recommendation | None) -> str:
    if answer is None or answer.steps == answer.confirm_steps:
        return ""
    return f" Both over {fmt.whole(answer.confirm_steps)} steps; the scores below over {fmt.whole(answer.steps)}."


def diff_lines(text: str) -> tuple[DiffLine, ...]:
    """A unified diff, line by line; its first two lines name the files."""
    kinds = {"+": "add", "-": "remove", "@": "hunk"}
    return tuple(
        DiffLine("file" if index < 2 else kinds.get(line[:1], "same"), line)
        for index, line in enumerate(text.splitlines())
    )


def _facts(sources: Sources) -> tuple[Fact, ...]:
    info, folder = sources.run.info, sources.run.folder
    ended = datetime.fromtimestamp((folder / store.RUN).stat().st_mtime)
    spent = sum(float(recording.info.get("seconds", 0)) for recording in sources.recordings)
    runs = fmt.count(len(sources.recordings), "run")
    facts = (
        *(Fact("Corrected file", str(path), True) for path in info.get("config_fixed", [])),
        Fact("File to correct", sources.inspection.get("config") or "", True),
        Fact("Checkpoint", checkpoint_fact(sources.inspection), True),
        Fact("Command", shlex.join(["preflight", *info.get("command", [])]), True),
        Fact("Run directory", str(folder), True),
        Fact("Date", f"{ended:%Y-%m-%d %H:%M}"),
        Fact("Status", str(info.get("status", "unknown"))),
        Fact("Trained", f"{runs}, {fmt.seconds(spent)} of training"),
        Fact("Steps", steps_text(sources.recordings)),
        Fact("Device", str(info.get("device", ""))),
        Fact("Seed", str(info.get("seed", ""))),
        Fact("Versions", versions(info)),
    )
    return tuple(fact for fact in facts if fact.value)


def checkpoint_fact(inspection: Mapping[str, Any]) -> str:
    """What training starts from; empty of an initialisation."""
    found = inspection.get("checkpoint")
    return checkpoint_text(found).removeprefix("starts from the checkpoint ") if found else ""


def versions(info: Mapping[str, Any]) -> str:
    """What the numbers were made with."""
    names = (("preflight", "preflight"), ("torch", "torch"), ("python", "Python"))
    return ", ".join(f"{label} {info[name]}" for name, label in names if name in info)


def _trajectories(comparison: Comparison, batch_size: int) -> Trajectories:
    sides = " and ".join(side.label for side in comparison.sides)
    caption = f"{sides[0].upper()}{sides[1:]}: {_runs(comparison)}."
    if any(len(side.recordings) > 1 for side in comparison.sides):
        caption += " Bold: median over seeds, smoothed; thin: single runs, five at most."
    if any(side.params.batch_size != batch_size for side in comparison.sides):
        caption += f" Steps are counted at today's batch size, {batch_size}."
    return Trajectories(caption, tuple(text for side in comparison.sides for text in _ends(side)))


def _runs(comparison: Comparison) -> str:
    """``5 confirming runs each``, or ``15 and 5 confirming runs``."""
    counts = [len(side.recordings) for side in comparison.sides]
    if len(set(counts)) == 1:
        return fmt.count(counts[0], *_RUNS[comparison.stage]) + (" each" if len(counts) > 1 else "")
    return f"{' and '.join(fmt.whole(item) for item in counts)} {_RUNS[comparison.stage][1]}"


def _ends(side: Side) -> list[str]:
    """How the runs of a side ended that did not complete, and which have no recording."""
    bad = [recording for recording in side.recordings if recording.status != "completed"]
    texts = [
        f"{side.label}, seed {recording.seed}: {outcome(recording)}"
        f"{f' ({recording.reason})' if recording.reason else ''}"
        for recording in bad[:MAX_ENDS]
    ]
    if len(bad) > MAX_ENDS:
        texts.append(f"{side.label}: {fmt.count(len(bad) - MAX_ENDS, 'more run')} did not complete")
    lost = sum(not is_recorded(recording) for recording in side.recordings)
    if lost:
        texts.append(f"{side.label}: {fmt.count(lost, 'run')} not recorded")
    return texts


def _more_trials(sources: Sources) -> str:
    hidden = len(sources.of("explore")) - len(trial_rows(sources))
    return f"{fmt.count(hidden, 'more trial')} with worse scores: see study.db and trials/." if hidden > 0 else ""


def _reading(sources: Sources) -> tuple[str, ...]:
    texts = [
        "The validation score is the mean over the losses of value / best constant predictor, unweighted: lower is "
        "better, 1 is no better than always predicting the same, and a run that diverged counts as 10.",
        f"A gain of 30% is a score lower by 30%. Settings are compared on the same seeds; intervals hold with "
        f"{fmt.confidence()} confidence over seeds. The final gain is measured on fresh seeds that took no part in "
        "choosing.",
    ]
    missing = extrapolation(sources)
    if missing:
        texts.append(
            f"{missing} The runs compared have the whole schedule inside their own, shorter length; that the order "
            "stays the same in the long run is likely, and not measured."
        )
    return tuple(texts)
