"""What the inspection found: input fields, losses, and the length of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preflight.core.units import RunLength
from preflight.report import format as fmt
from preflight.report.sources import Sources

MAX_FEATURES = 32


@dataclass(frozen=True)
class FeatureRow:
    """Statistics of one feature in its own units."""

    name: str
    kind: str
    cells: tuple[str, ...]
    nonfinite: str
    has_nonfinite: bool


@dataclass(frozen=True)
class FieldTable:
    """An input field; ``rest`` says how many features are not shown."""

    name: str
    form: str
    features: tuple[FeatureRow, ...]
    rest: str


@dataclass(frozen=True)
class LossRow:
    """A loss before training: of the best constant predictor and of the initial model."""

    name: str
    weight: str
    constant: str
    initial: str
    ratio: str


def field_tables(sources: Sources) -> tuple[FieldTable, ...]:
    """A table per input field, its first :data:`MAX_FEATURES` features."""
    return tuple(_field(field) for field in sources.inspection.get("fields", []))


def _field(field: Mapping[str, Any]) -> FieldTable:
    shape = " \N{MULTIPLICATION SIGN} ".join(str(size) for size in field["shape"]) or "scalar"
    features = field["features"]
    hidden = len(features) - MAX_FEATURES
    kinds = ", ".join(dict.fromkeys(feature["kind"] for feature in features[MAX_FEATURES:]))
    rest = f"{fmt.count(hidden, 'more feature')} not shown here ({kinds})." if hidden > 0 else ""
    rows = tuple(_feature(feature) for feature in features[:MAX_FEATURES])
    return FieldTable(field["name"], f"{shape}, {field['dtype']}", rows, rest)


def _feature(feature: Mapping[str, Any]) -> FeatureRow:
    cells = tuple(fmt.statistic(feature[name]) for name in ("minimum", "maximum", "mean", "std"))
    nonfinite = int(feature["nonfinite"])
    return FeatureRow(feature["name"], feature["kind"].replace("_", " "), cells, fmt.whole(nonfinite), nonfinite > 0)


def loss_rows(sources: Sources) -> tuple[LossRow, ...]:
    """Every loss with its weight, its best constant predictor and its value at initialisation."""
    constants, initial = sources.inspection.get("constants", {}), sources.inspection.get("initial", {})
    rows = []
    for name, constant in constants.items():
        start = initial.get(name)
        comparable = constant is not None and start is not None and constant > 0 and math.isfinite(start)
        rows.append(
            LossRow(
                name=name,
                weight=fmt.plain(float(sources.today.loss_weights.get(name, 1.0))),
                constant=fmt.number(constant),
                initial=fmt.number(start),
                ratio=fmt.number(start / constant) if comparable else fmt.MISSING,
            )
        )
    return tuple(rows)


def length_text(sources: Sources) -> str:
    """Length of the long run as the user's file gives it."""
    length = RunLength(**sources.inspection["length"])
    epochs = length.horizon_steps / length.steps_per_epoch
    return (
        f"The long run is {fmt.count(length.horizon_steps, 'step')} ({epochs:.4g} epochs) of batches of "
        f"{length.batch_size} out of {fmt.whole(length.train_size)} training samples."
    )
