"""What the rules without a finding answered: that all is well, or what they lack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from preflight.core.finding import SEVERITIES
from preflight.telemetry.text_lines import Problem

# The reasons that most rules give come first; the others are counted.
MAX_REASONS = 6


def show_problems(console: Console, problems: Iterable[Problem]) -> None:
    """What could not be read, a line each."""
    for problem in problems:
        console.print(f"not read: {problem}", markup=False, soft_wrap=True)


def show_answers(console: Console, document: Mapping[str, Any], *, everything: bool) -> None:
    """Rules that found nothing, and rules that could not judge by what they lack; ``everything``: a line each."""
    lines = _each(document) if everything else _short(document)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def exceeds(document: Mapping[str, Any], limit: str | None) -> bool:
    """Whether a finding is as severe as ``limit`` or more."""
    if limit is None:
        return False
    severe = SEVERITIES[: SEVERITIES.index(limit) + 1]
    return any(item["severity"] in severe for item in document["findings"])


def _short(document: Mapping[str, Any]) -> Iterator[str]:
    if document["clean"]:
        yield f"nothing found: {_codes(document['clean'])}"
    reasons = _by_reason(document["not_applicable"])
    for missing, items in reasons[:MAX_REASONS]:
        yield f"not applicable: {_codes(items)}: {missing}"
    if rest := [item for _, items in reasons[MAX_REASONS:] for item in items]:
        yield f"not applicable: {_codes(sorted(rest, key=lambda item: str(item['code'])))}; --all says why"


def _each(document: Mapping[str, Any]) -> Iterator[str]:
    for item in document["clean"]:
        yield f"nothing found: {item['code']} {item['name']}"
    for item in document["not_applicable"]:
        yield f"not applicable: {item['code']} {item['name']}: {item['missing']}"


def _by_reason(items: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    reasons: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        reasons.setdefault(item["missing"], []).append(item)
    return sorted(reasons.items(), key=lambda reason: -len(reason[1]))


def _codes(items: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(item["code"] for item in items)
