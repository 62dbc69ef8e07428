"""The loss weights that were compared, as a table of texts for the terminal and the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from preflight.advise.evidence import Effect, percent
from preflight.report import format as fmt


@dataclass(frozen=True)
class WeightRow:
    """One way to weigh the losses: a weight per loss, the median score, what it takes off the first row's."""

    name: str
    weights: tuple[str, ...]
    score: str
    gain: str


@dataclass(frozen=True)
class WeightTable:
    """``losses`` head the weights; ``beside`` are the settings all rows share, ``note`` what is to be known."""

    losses: tuple[str, ...]
    rows: tuple[WeightRow, ...]
    beside: str
    note: str


def weight_table(document: Mapping[str, Any] | None, today: Mapping[str, Any]) -> WeightTable | None:
    """Table of loss_weights.json; ``today`` are today's settings, one level. None where nothing was compared."""
    if document is None:
        return None
    rows = document["rows"]
    losses = tuple(rows[0]["weights"]) if rows else ()
    beside = ", ".join(
        f"{name}={fmt.setting(name, value)}"
        for name, value in document["base"].items()
        if value != today.get(name) and not name.startswith("loss_weights.")
    )
    return WeightTable(losses, tuple(_row(row, losses) for row in rows), beside, _note(document))


def _row(row: Mapping[str, Any], losses: tuple[str, ...]) -> WeightRow:
    score = float(np.median(list(row["scores"].values())))
    effect = None if row["effect"] is None else Effect(**row["effect"])
    return WeightRow(
        f"{row['name']}, as it goes" if row["follow"] else str(row["name"]),
        tuple(f"{row['weights'][name]:.3g}" for name in losses),
        f"{score:.3g}" if math.isfinite(score) else "lost",
        "" if effect is None else f"{percent(effect.gain)} ({effect.interval})",
    )


def _note(document: Mapping[str, Any]) -> str:
    texts = [f"Loss weights not proposed: {document['left_out']}."] if document["left_out"] else []
    texts += [f"No run with {name} came to its end." for name in document["lost"]]
    if any(row["follow"] for row in document["rows"]):
        texts.append("Weights that go with the training are given as they settled, over the last half of the runs.")
    return " ".join(texts)
