"""The losses before training: what they are, and what each asks of the parameters that they share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preflight.core.params import Params
from preflight.report import format as fmt


@dataclass(frozen=True)
class LossRow:
    """A loss before training: of the best constant predictor, of the model, and its part of the gradient."""

    name: str
    weight: str
    constant: str
    initial: str
    ratio: str
    gradient: str
    share: str
    later: str


@dataclass(frozen=True)
class CosineRow:
    """Cosine of the gradients of two losses, over the batches before training."""

    pair: str
    mean: str
    highest: str


@dataclass(frozen=True)
class LossTable:
    """``model`` is what the losses are of: the initial model, or the checkpoint. ``caption`` says what gradients were
    measured on; empty where they were not.
    """

    model: str
    rows: tuple[LossRow, ...]
    cosines: tuple[CosineRow, ...]
    caption: str


def loss_table(inspection: Mapping[str, Any], facts: Mapping[str, Any]) -> LossTable:
    """Every loss of an inspection.json, and of a facts.json the gradients."""
    today, measured = Params(**inspection["today"]), facts.get("losses") or {}
    rows = tuple(_row(name, inspection, today, measured.get(name) or {}) for name in inspection.get("constants", {}))
    return LossTable(
        "checkpoint" if inspection.get("checkpoint") else "initial model",
        rows,
        tuple(_cosine(pair, mean, facts) for pair, mean in (facts.get("cosines") or {}).items()),
        _caption(int(facts.get("loss_batches") or 0), len(rows), any(item.get("share") for item in measured.values())),
    )


def _row(name: str, inspection: Mapping[str, Any], today: Params, fact: Mapping[str, Any]) -> LossRow:
    constant, start = inspection["constants"][name], inspection.get("initial", {}).get(name)
    comparable = constant is not None and start is not None and constant > 0 and math.isfinite(start)
    shares = (fact.get(key) for key in ("share", "share_later"))
    now, later = (fmt.MISSING if share is None else _share(float(share)) for share in shares)
    return LossRow(
        name=name,
        weight=fmt.plain(float(today.loss_weights.get(name, 1.0))),
        constant=fmt.number(constant),
        initial=fmt.number(start),
        ratio=fmt.number(start / constant) if comparable else fmt.MISSING,
        gradient=fmt.number(fact.get("gradient_norm")),
        share=now,
        later=later,
    )


def _share(value: float) -> str:
    """``87.2%``, and of next to nothing its size: ``0.0028%``."""
    return f"{value:.1%}" if value >= 0.001 or value == 0 else f"{fmt.number(100 * value, 2)}%"


def _cosine(pair: str, mean: float, facts: Mapping[str, Any]) -> CosineRow:
    highest = (facts.get("cosine_spread") or {}).get(pair, {}).get("highest")
    return CosineRow(" and ".join(pair.split("|")), _signed(mean), fmt.MISSING if highest is None else _signed(highest))


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", fmt.MINUS)


def _caption(batches: int, losses: int, is_shared: bool) -> str:
    if not batches:
        return ""
    several = " that more than one loss reaches" if is_shared else " of each, for they share none"
    shared = several if losses > 1 else ""
    measured = fmt.count(batches, "training batch", "training batches")
    return (
        f"Losses are of the validation data, in evaluation mode. Gradients are means over {measured}, on the parameters"
        f"{shared}; the norms leave the weights out, the shares have them in."
    )
