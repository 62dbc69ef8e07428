"""Findings on the terminal: each with its numbers, its remedy, and what trying that showed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from preflight.core.finding import ERROR, NOTE, WARNING
from preflight.report.findings import Card, cards, summary

STYLES = {ERROR: "bold red", WARNING: "bold yellow", NOTE: "bold"}


def show_findings(console: Console, document: Mapping[str, Any]) -> None:
    """The findings of a findings.json in their order, and how many rules found nothing or could not judge."""
    for card in cards(document):
        head, *rest = lines(card)
        console.print(head, style=STYLES[card.severity], markup=False, soft_wrap=True)
        for line in rest:
            console.print(line, markup=False, soft_wrap=True)
    console.print(summary(document), markup=False, soft_wrap=True)


def lines(card: Card) -> Iterator[str]:
    """A finding in words: what it is, its likely cause, what to do, and what trying that showed."""
    yield f"{card.code} {card.severity}: {card.message}"
    if card.because:
        yield f"  probably because of {card.because}"
    for remedy in card.remedies:
        yield f"  remedy: {remedy}"
    yield f"  {card.verdict}: {card.proof}"
