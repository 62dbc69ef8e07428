"""PF311: samples that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.core.finding import NOTE, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.telemetry.recording import Recording

SHARE = Threshold(
    "SHARE",
    0.01,
    "of the samples fetched cannot be read",
    "of batches of 64, every second one then holds such a sample: 1 - 0.99**64 = 47%",
)
# As many as a sentence holds.
NAMED = 3


def check(recording: Recording) -> Answer:
    """Judge what was met while samples were fetched, by the probes and by the trials so far."""
    facts: Mapping[str, Any] = recording.fact("reading")
    failing = {name: split for name, split in facts["splits"].items() if split["count"]}
    if not failing:
        return Clean()
    share = max(float(split["share"]) for split in failing.values())
    return Finding(
        WARNING if facts["loader"] or share > SHARE.value else NOTE,
        " and ".join(_sentence(name, split) for name, split in failing.items())
        + ". Others were taken in their place"
        + ("; the loader ends the run at the first of them" if facts["loader"] else ""),
        tuple(item for name, split in failing.items() for item in _evidence(name, split)),
        (
            Remedy(
                "repair these samples, take them out of the list of samples, or let the data set skip them: a "
                "DataLoader passes the error on, and the run ends at the first of them"
            ),
        ),
        strength=max(1.0, share / SHARE.value),
    )


def _sentence(name: str, split: Mapping[str, Any]) -> str:
    named = [f"{item['sample']} ({item['error']})" for item in split["unreadable"][:NAMED]]
    count = int(split["count"])
    more = f" and {count - len(named)} more" if count > len(named) else ""
    subject = f"{count} {name} sample{'s' if count > 1 else ''} cannot be read"
    return f"{subject}, number{'s' if count > 1 else ''} {', '.join(named)}{more}"


def _evidence(name: str, split: Mapping[str, Any]) -> tuple[Evidence, ...]:
    return (
        Evidence(f"share of the {name} samples fetched", float(split["share"]), SHARE.value),
        Evidence(f"{name} samples that one process fetched, of {split['samples']}", float(split["fetched"])),
    )


RULE = Rule(
    code="PF311",
    name="unreadable-samples",
    title="Samples cannot be read",
    detects="The data set raises an error for some of the samples that the probes and the trials fetched; another "
    "sample was then taken in their place. It is worth a warning where a DataLoader draws them, or where they are more "
    "than SHARE. Samples that nobody asked for are not known, and data in memory was read whole.",
    matters="A DataLoader passes the error on: the long run ends at the first of these samples, minutes or hours after "
    "its start. Where they are skipped, whatever they have in common is missing from the training.",
    fix="Repair or remove the samples that are named, look for more of the kind, or let the data set skip them and "
    "count what it skips.",
    check=check,
    thresholds=(SHARE,),
)
