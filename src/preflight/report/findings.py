"""Findings in words, for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preflight.advise.diagnosis import explained_by
from preflight.advise.evidence import Effect, percent
from preflight.advise.throughput import Speed
from preflight.core.finding import CONFIRMED, REFUTED, UNDECIDED
from preflight.report import format as fmt

PROOFS = {
    CONFIRMED: "tried {what} on {seeds}: it takes {gain} off the validation score",
    REFUTED: "tried {what} on {seeds}: it does not help (gain {gain})",
    UNDECIDED: "tried {what} on {seeds}: a gain of {gain}, which their noise leaves open ({interval})",
}
SPEEDS = {
    CONFIRMED: "tried {what}: {speed}; no score depends on it",
    REFUTED: "tried {what}: {speed}, which is no faster",
    UNDECIDED: "tried {what}: {speed}, which is within the noise of the clock",
}


@dataclass(frozen=True)
class Card:
    """One finding. ``because`` names the findings that probably cause it; ``verdict`` is confirmed, refuted,
    undecided or untested, and ``proof`` what trying the remedy showed.
    """

    code: str
    title: str
    severity: str
    message: str
    because: str
    evidence: tuple[tuple[str, str, str], ...]
    remedies: tuple[str, ...]
    verdict: str
    proof: str


def cards(document: Mapping[str, Any] | None) -> tuple[Card, ...]:
    """Findings of a findings.json in their order; none where there is no such file."""
    if document is None:
        return ()
    causes = explained_by(document["findings"])
    return tuple(_card(item, ", ".join(causes[item["code"]])) for item in document["findings"])


def summary(document: Mapping[str, Any]) -> str:
    """How many rules were asked, and how many of them could not judge."""
    found, clean, unable = (len(document[name]) for name in ("findings", "clean", "not_applicable"))
    total = fmt.count(found + clean + unable, "rule")
    return f"{total} asked: {fmt.count(found, 'finding')}, {clean} found nothing, {unable} lack what they judge by"


def _card(item: Mapping[str, Any], because: str) -> Card:
    seeds = f" ({item['found']} of {item['runs']} seeds)" if item["runs"] > 1 else ""
    proof = item["proof"]
    return Card(
        code=item["code"],
        title=item["title"],
        severity=item["severity"],
        message=f"{item['message']}{seeds}",
        because=because,
        evidence=tuple(map(_evidence, item["evidence"])),
        remedies=tuple(map(_remedy, item["remedies"])),
        verdict=proof["verdict"],
        proof=_proof(proof) if proof["verdict"] in PROOFS else _not_tried(item["remedies"], proof),
    )


def _proof(proof: Mapping[str, Any]) -> str:
    effect, speed = proof["effect"], proof.get("speed")
    if speed is not None:
        return SPEEDS[proof["verdict"]].format(what=_settings(proof["remedy"]["settings"]), speed=Speed(**speed))
    what, beside = _settings(proof["remedy"]["settings"]), _settings(proof.get("beside", {}))
    if beside:
        what += f" beside {beside}"
    interval = Effect(**effect).interval
    return PROOFS[proof["verdict"]].format(
        what=what, seeds=fmt.count(effect["seeds"], "seed"), gain=percent(effect["gain"]), interval=interval
    )


def _not_tried(remedies: Sequence[Mapping[str, Any]], proof: Mapping[str, Any]) -> str:
    named = next((_settings(remedy["settings"]) for remedy in remedies if remedy["settings"]), "")
    if not named:
        return "what is to be done is no setting that could be tried"
    why = proof.get("why_untried", "")
    return f"no run was made with {named}{f': {why}' if why else ''}"


def _evidence(item: Mapping[str, Any]) -> tuple[str, str, str]:
    """What was measured, its value, and the limit."""
    value, limit = (_quantity(item[name], item["unit"]) for name in ("value", "limit"))
    return item["what"], value, limit


def _quantity(value: float | str | None, unit: str) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else fmt.number(float(value))
    return f"{text} {unit}".rstrip()


def _remedy(item: Mapping[str, Any]) -> str:
    values = _settings(item["settings"])
    return f"{item['text']} ({values})" if values else str(item["text"])


def _settings(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in settings.items())


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
