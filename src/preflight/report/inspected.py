"""The page of `preflight inspect`: what was seen before training, and what every rule says of it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preflight.core.finding import SEVERITIES
from preflight.report import format as fmt
from preflight.report.content import Fact, checkpoint_fact, versions
from preflight.report.fields import FieldTable, field_tables, length_text
from preflight.report.findings import Card, cards, summary
from preflight.report.losses import LossTable, loss_table
from preflight.report.page import render
from preflight.report.tables import SettingRow, setting_rows
from preflight.report.verdict import Verdict
from preflight.telemetry import store

FOUND, CLEAN = "findings", "clean"


@dataclass(frozen=True)
class AnswerRow:
    """What one rule answered; ``kind`` is a severity, clean or not_applicable."""

    code: str
    name: str
    kind: str
    answer: str


@dataclass(frozen=True)
class Inspected:
    """Everything on the page."""

    model: str
    verdict: Verdict
    facts: tuple[Fact, ...]
    findings: tuple[Card, ...]
    asked: str
    notes: tuple[str, ...]
    fields: tuple[FieldTable, ...]
    losses: LossTable
    settings: tuple[SettingRow, ...]
    length: str
    answers: tuple[AnswerRow, ...]
    reading: tuple[str, ...]


def write_inspected(
    path: Path,
    info: Mapping[str, Any],
    inspection: Mapping[str, Any],
    facts: Mapping[str, Any],
    document: Mapping[str, Any],
) -> None:
    """Write one HTML file of an inspection, its facts and findings; ``info`` says where it ran, as run.json does."""
    store.write_text(path, render("inspected.html", page=page_of(info, inspection, facts, document)))


def page_of(
    info: Mapping[str, Any], inspection: Mapping[str, Any], facts: Mapping[str, Any], document: Mapping[str, Any]
) -> Inspected:
    """The content of the page."""
    failed = [f"Not looked at: {name} ({problem})" for name, problem in facts.get("failed", {}).items()]
    return Inspected(
        model=str(info["model"]),
        verdict=_verdict(document),
        facts=_facts(info, inspection, facts),
        findings=cards(document),
        asked=summary(document),
        notes=(*map(str, inspection.get("notes", ())), *failed),
        fields=field_tables(inspection),
        losses=loss_table(inspection, facts),
        settings=setting_rows(inspection),
        length=length_text(inspection),
        answers=_answers(document),
        reading=_reading(inspection),
    )


def looked_at(inspection: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """``200 of 324 training samples, and 8 batches of 12 for losses and gradients``."""
    length = inspection["length"]
    samples = f"{fmt.whole(inspection['samples'])} of {fmt.whole(length['train_size'])} training samples"
    batches = int(facts.get("loss_batches") or 0)
    if not batches:
        return samples
    measured = fmt.count(batches, "batch", "batches")
    return f"{samples}, and {measured} of {length['batch_size']} for losses and gradients"


def _verdict(document: Mapping[str, Any]) -> Verdict:
    found = Counter(str(item["severity"]) for item in document["findings"])
    if not found:
        return Verdict(CLEAN, "Nothing found", "No rule found anything before training.", "", ())
    counts = " and ".join(fmt.count(found[name], name) for name in SEVERITIES if found[name])
    codes = ", ".join(str(item["code"]) for item in document["findings"])
    return Verdict(FOUND, counts, f"{counts} before training: {codes}.", "", ())


def _facts(info: Mapping[str, Any], inspection: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[Fact, ...]:
    every = (
        Fact("Config", inspection.get("config") or "", True),
        Fact("Checkpoint", checkpoint_fact(inspection), True),
        Fact("Looked at", looked_at(inspection, facts)),
        Fact("Command", shlex.join(["preflight", *info.get("command", [])]), True),
        Fact("Date", str(info.get("date", ""))),
        Fact("Device", str(info.get("device", ""))),
        Fact("Seed", str(info.get("seed", ""))),
        Fact("Versions", versions(info)),
    )
    return tuple(fact for fact in every if fact.value)


def _answers(document: Mapping[str, Any]) -> tuple[AnswerRow, ...]:
    """Every rule's, by its code."""
    found = [(item, str(item["severity"]), str(item["message"])) for item in document["findings"]]
    clean = [(item, CLEAN, "nothing found") for item in document["clean"]]
    unable = [(item, "not_applicable", f"not applicable: {item['missing']}") for item in document["not_applicable"]]
    every = [*found, *clean, *unable]
    rows = [AnswerRow(str(item["code"]), str(item["name"]), kind, answer) for item, kind, answer in every]
    return tuple(sorted(rows, key=lambda row: row.code))


def _reading(inspection: Mapping[str, Any]) -> tuple[str, ...]:
    texts = [
        "The best constant predictor is the lowest loss of an output that is the same for every input: a loss that is "
        "not below it has learned nothing of the data.",
        "Nothing was trained as a trial, and no remedy was tried: preflight +model=... does both. A rule that lacks "
        "what it judges by says so, and is not counted as clean.",
    ]
    if inspection.get("checkpoint"):
        texts.append(
            "Everything was measured with the weights of the checkpoint, and a new optimizer: the state of the old one "
            "is not loaded. A remedy that changes what inputs or targets look like makes these weights mean something "
            "else, so that it takes a training from the beginning."
        )
    return tuple(texts)
