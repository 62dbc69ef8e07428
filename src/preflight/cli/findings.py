"""Findings on the terminal: each with its numbers, its remedy, and what trying that showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from preflight.advise.diagnosis import explained_by
from preflight.advise.evidence import percent
from preflight.core.finding import CONFIRMED, ERROR, NOTE, REFUTED, WARNING

STYLES = {ERROR: "bold red", WARNING: "bold yellow", NOTE: "bold"}
WORDS = {
    CONFIRMED: "confirmed: tried on {seeds} seeds, it takes {gain} off the validation score",
    REFUTED: "refuted: tried on {seeds} seeds, it does not help (gain {gain})",
}


def show_findings(console: Console, document: Mapping[str, Any]) -> None:
    """The findings of a findings.json in their order, and how many rules found nothing or could not judge."""
    findings = document["findings"]
    causes = explained_by(findings)
    for item in findings:
        for line in finding_lines(item, causes[item["code"]]):
            style = STYLES[item["severity"]] if line.startswith(item["code"]) else None
            console.print(line, style=style, markup=False, soft_wrap=True)
    if not findings:
        console.print("findings: none", markup=False)
    console.print(
        f"{len(document['clean'])} rules found nothing, {len(document['not_applicable'])} lack what they judge by",
        markup=False,
    )


def finding_lines(item: Mapping[str, Any], causes: Sequence[str]) -> list[str]:
    """A finding in words: what it is, its likely cause, what to do, and what trying that showed."""
    seeds = f" ({item['found']} of {item['runs']} seeds)" if item["runs"] > 1 else ""
    lines = [f"{item['code']} {item['severity']}: {item['message']}{seeds}"]
    if causes:
        lines.append(f"  probably because of {', '.join(causes)}")
    for remedy in item["remedies"]:
        values = ", ".join(f"{name}={value}" for name, value in remedy["settings"].items())
        lines.append(f"  remedy: {remedy['text']}{f' ({values})' if values else ''}")
    proof = item["proof"]
    if proof["verdict"] in WORDS:
        effect = proof["effect"]
        lines.append("  " + WORDS[proof["verdict"]].format(seeds=effect["seeds"], gain=percent(effect["gain"])))
    return lines
