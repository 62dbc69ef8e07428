"""What the inspection found: input fields, the length of the run, and what it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preflight.core.units import RunLength
from preflight.report import format as fmt

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


def field_tables(inspection: Mapping[str, Any]) -> tuple[FieldTable, ...]:
    """A table per input field, its first :data:`MAX_FEATURES` features."""
    return tuple(_field(field) for field in inspection.get("fields", []))


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


def length_text(inspection: Mapping[str, Any]) -> str:
    """Length of the long run as the user's file gives it."""
    length = RunLength(**inspection["length"])
    epochs = length.horizon_steps / length.steps_per_epoch
    return (
        f"The long run is {fmt.count(length.horizon_steps, 'step')} ({epochs:.4g} epochs) of batches of "
        f"{length.batch_size} out of {fmt.whole(length.train_size)} training samples."
    )


def checkpoint_text(checkpoint: Mapping[str, Any]) -> str:
    """``starts from the checkpoint ck.pt, under 'model' (SHA-256 0123456789ab...)``."""
    taken = f", {checkpoint['taken']}" if checkpoint["taken"] else ""
    return f"starts from the checkpoint {checkpoint['path']}{taken} (SHA-256 {checkpoint['sha256'][:12]}...)"
