"""PF307: sorted data, trained front to back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.telemetry.recording import Recording

DEPENDENCE = Threshold(
    "DEPENDENCE",
    0.2,
    "of the variance of a target lies between windows of neighbours beyond what exchanged samples have",
    "batches of 32 then carry no more than 4 independent samples (design effect 1 + 31 * 0.2, Kish 1965)",
)
CERTAINTY = Threshold("CERTAINTY", 6.0, "deviations of exchanged samples", "one in a billion by chance")
SORTED = 0.6


def check(recording: Recording) -> Answer:
    """Judge the order that the recorded run trained in: its own shuffle where it is known, else the probe's."""
    order = recording.fact("order")
    try:
        shuffled = bool(recording.setting("shuffle"))
    except MissingError:
        shuffled = bool(order["shuffle"])
    if shuffled and not order["shuffle"]:
        return Clean()
    trained = recording.fact("order", "trained" if shuffled == order["shuffle"] else "stored")
    targets = {name: item for name, item in trained.items() if item["role"] == "target" and is_ordered(item)}
    if not targets:
        return Clean()
    name = max(targets, key=lambda item: targets[item]["dependence"])
    found = targets[name]["dependence"]
    stored = "are sorted, or come in runs, and are not shuffled" if not shuffled else "come in runs although shuffled"
    return Finding(
        ERROR if found >= SORTED else WARNING,
        f"the training samples {stored}: {found:.0%} of the variance of the target '{name}' lies between windows of "
        f"{order['window']} neighbours, where a random order leaves none",
        (
            Evidence("dependence of the target on the position", found, DEPENDENCE.value),
            Evidence("deviations from a random order", targets[name]["z"], CERTAINTY.value),
        ),
        (Remedy("shuffle the training data in every epoch", {"shuffle": True} if not shuffled else {}),),
        where=name,
        strength=found / DEPENDENCE.value,
    )


def is_ordered(item: Mapping[str, Any]) -> bool:
    """Whether neighbours are alike beyond chance, and by much."""
    return bool(item["dependence"] > DEPENDENCE.value and item["z"] > CERTAINTY.value)


RULE = Rule(
    code="PF307",
    name="not-shuffled",
    title="Sorted data is not shuffled",
    detects="In the order in which the run really trained, targets of neighbouring samples are alike: much of their "
    "variance lies between windows of neighbours. Sorted data that is shuffled is none, nor is data in a random order "
    "that is not shuffled.",
    matters="A batch of one class, or of one corner of the targets, pulls the network to a constant for that batch; "
    "what an earlier batch taught is forgotten, and batch normalization sees statistics of one class.",
    fix="Shuffle in every epoch (DataLoader(shuffle=True)); with streamed files, shuffle the files and a buffer of "
    "samples.",
    check=check,
    thresholds=(DEPENDENCE, CERTAINTY),
    # Short runs of the ladder see the first few batches only, which any rate learns by heart.
    causes=("PF101", "PF202", "PF401", "PF402", "PF505", "PF507"),
)
