"""What an input field holds, and which normalizations make sense for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from preflight.core.errors import TaskError
from preflight.core.model_settings import FieldSettings
from preflight.probes.codes import code_of
from preflight.probes.kinds import classify
from preflight.probes.layout import Layout, layout_of
from preflight.probes.outliers import Range, usual_range
from preflight.tasks.data import Batch, is_numeric, spread
from preflight.tasks.statistics import FieldValues, normalizer_config

# Kinds are told from so many values at most, so that more data of the same sort gets the same kinds.
KIND_VALUES = 2**14
# Beyond so many features a kind per feature says little: one kind for the field is used.
MAX_NAMED_FEATURES = 64
# Inputs within this are as good as normalized; what lies beyond moves the best learning rate.
MAX_UNIT_MEAN, MAX_UNIT_STD, MIN_UNIT_STD = 1.0, 3.0, 0.1

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "continuous": ("standardize",),
    "heavy_tailed": ("standardize", "log_standardize"),
    "count": ("standardize",),
    "image": ("standardize", "minmax"),
    "binary": (),
    "identifier": (),
    "tokens": (),
    "constant": (),
}


@dataclass(frozen=True)
class FeatureReport:
    """Statistics of one feature over the training samples looked at, in its own units; no padding is among them.

    ``minimum`` and ``maximum`` are of all finite values; ``mean`` and ``std`` leave the outliers and a code out.
    """

    name: str
    kind: str
    minimum: float
    maximum: float
    mean: float
    std: float
    nonfinite: int

    @property
    def normalized(self) -> bool:
        """Whether its scale is one that default initialisations and learning rates are made for."""
        return abs(self.mean) <= MAX_UNIT_MEAN and MIN_UNIT_STD <= self.std <= MAX_UNIT_STD


@dataclass(frozen=True)
class FieldReport:
    """An input field: its features, and the normalizations that make sense, the plain one first."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    features: tuple[FeatureReport, ...]
    options: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of each feature."""
        return tuple(feature.kind for feature in self.features)


@dataclass(frozen=True)
class Field:
    """A field of the samples looked at: what is reported of it, and what other samples are measured by."""

    report: FieldReport
    layout: Layout
    ranges: tuple[Range, ...]
    values: FieldValues


def inspect_field(name: str, batch: Batch, settings: FieldSettings, total: int) -> Field:
    """Look at a field of some of ``total`` training samples, as one batch."""
    layout = layout_of(name, batch, settings)
    tensor = batch[name]
    rows, counted = _rows(layout, batch)
    ranges = field_ranges(rows, total / len(tensor))
    low, high = (torch.tensor([getattr(item, side) for item in ranges]).double() for side in ("low", "high"))
    codes = _codes(rows)
    clean = torch.where((rows >= low) & (rows <= high) & rows.isfinite() & (rows != codes), rows, torch.nan)
    kinds = _kinds(tensor, clean, settings, layout.features)
    features = tuple(
        _feature(feature, kind, rows[:, index][counted[:, index]], clean[:, index])
        for index, (feature, kind) in enumerate(zip(layout.features, kinds, strict=True))
    )
    dtype = str(tensor.dtype).removeprefix("torch.")
    options = _options(tensor, kinds, settings)
    if "standardize" in options and bool(codes.isfinite().any()):
        options = tuple(dict.fromkeys((*options, *OPTIONS["heavy_tailed"])))  # a logarithm tames a code, too
    report = FieldReport(name, tuple(tensor.shape[1:]), dtype, features, options)
    return Field(report, layout, ranges, FieldValues(clean, layout.axis))


def target_ranges(layout: Layout, batch: Batch, total: int) -> tuple[Range, ...]:
    """Ranges of a target's features, from some of ``total`` samples."""
    return field_ranges(_rows(layout, batch)[0], total / len(batch[layout.field]))


def field_ranges(rows: Tensor, share: float) -> tuple[Range, ...]:
    """Range of each feature of ``rows[N, F]``, one in ``share`` of all there are."""
    return tuple(usual_range(column, round(share * len(column))) for column in rows.unbind(dim=1))


def _codes(rows: Tensor) -> Tensor:
    """The code of each feature of ``rows[N, F]``, NaN where it has none."""
    found = [code_of(column) for column in rows.unbind(dim=1)]
    return torch.tensor([torch.nan if code is None else code.value for code in found], dtype=rows.dtype)


def _rows(layout: Layout, batch: Batch) -> tuple[Tensor, Tensor]:
    """One row a sample or position: ``values[N, F]``, NaN in place of padding, and whether each value counts."""
    values = layout.by_feature(batch).cpu().double()
    valid = layout.valid(batch)
    counted = torch.ones_like(values, dtype=torch.bool) if valid is None else valid.cpu().expand(values.shape)
    kept = counted.any(dim=2)
    return values.masked_fill(~counted, torch.nan)[kept], counted[kept]


def normalizer_configs(report: FieldReport, values: FieldValues, options: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Fitted configuration of every option that is not ``none``."""
    asked = [option for option in options if option != "none"]
    empty = (~values.values.isfinite().any(dim=0)).tolist()
    if asked and any(empty):
        bad = ", ".join(feature.name for feature, is_empty in zip(report.features, empty, strict=True) if is_empty)
        raise TaskError(f"the input '{report.name}' has no training sample without NaN or infinity in {bad}")
    return {option: normalizer_config(option, values, report.kinds) for option in asked}


def _kinds(tensor: Tensor, values: Tensor, settings: FieldSettings, names: tuple[str, ...]) -> tuple[str, ...]:
    if settings.kind:
        return settings.kind if len(settings.kind) == len(names) else settings.kind * len(names)
    if tensor.ndim == 4 and not settings.features:
        return ("image",) * len(names)
    if tensor.dtype == torch.bool:
        return ("binary",) * len(names)
    if not tensor.is_floating_point():
        return ("tokens",) * len(names)
    if len(names) > MAX_NAMED_FEATURES:
        rows = values[spread(len(values), max(1, KIND_VALUES // len(names)))]
        return (classify(rows.flatten()),) * len(names)
    return tuple(classify(_some(values[:, index])) for index in range(len(names)))


def _some(values: Tensor) -> Tensor:
    known = values[values.isfinite()]
    return known[spread(len(known), KIND_VALUES)] if len(known) else known


def _options(tensor: Tensor, kinds: tuple[str, ...], settings: FieldSettings) -> tuple[str, ...]:
    if not is_numeric(tensor) and not settings.kind:
        return ("none",)
    fitting = [option for kind in dict.fromkeys(kinds) for option in OPTIONS[kind]]
    if len(set(kinds)) > 1 and fitting:
        return ("none", "per_kind")  # one option for all would z-score an identifier
    return ("none", *dict.fromkeys(fitting))


def _feature(name: str, kind: str, values: Tensor, clean: Tensor) -> FeatureReport:
    """Report of a feature from all of its values, and from those without outliers."""
    finite = values[values.isfinite()]
    usual = clean[clean.isfinite()]
    nothing = torch.zeros(1, dtype=torch.float64)
    finite, usual = (some if len(some) else nothing for some in (finite, usual))
    return FeatureReport(
        name,
        kind,
        float(finite.min()),
        float(finite.max()),
        float(usual.mean()),
        float(usual.std(correction=0)),
        int((~values.isfinite()).sum()),
    )
