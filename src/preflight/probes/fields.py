"""What kind of quantity an input field holds, and which normalizations make sense for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from preflight.core.errors import TaskError, alternatives
from preflight.core.model_settings import FieldSettings
from preflight.tasks.data import Source, is_numeric, spread
from preflight.tasks.statistics import FieldValues, feature_rows, normalizer_config

SAMPLES = 4096
# Beyond so many features a kind per feature says little: one kind for the field is used.
MAX_NAMED_FEATURES = 64
# Fewer whole numbers than this are as likely a count, an age or a grade as a name for something.
MIN_IDENTIFIERS = 256
# Share of its range that identifiers fill, and the largest share one of them has.
MIN_COVERAGE, MAX_SHARE = 0.5, 0.1
# How far the tip of a distribution reaches beyond its shoulder, see _reach: 1.3 for a triangle, 1.1 for a box.
MAX_IDENTIFIER_REACH = 1.6
# 1.9 for a normal distribution, 2.7 for an exponential one, 5 for a lognormal one of shape 1.
MIN_HEAVY_REACH = 4.0
# A tail that a logarithm shortens: the 99.9% quantile is so many times the median in size.
MIN_HEAVY_RATIO = 10.0
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
    """Statistics of one feature over the training samples looked at, in its own units."""

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


def inspect_field(name: str, source: Source, settings: FieldSettings) -> tuple[FieldReport, FieldValues]:
    """Look at the first samples of a training split, all of it where it is small."""
    batch = source.batch(spread(len(source), SAMPLES))
    if name not in batch:
        raise TaskError(f"model.fields names '{name}'; known: {', '.join(batch)}")
    tensor = batch[name].cpu()
    axis = _feature_axis(tensor, settings)
    if settings.mask is not None and settings.mask not in batch:
        raise TaskError(f"model.fields.{name}.mask names '{settings.mask}'; {alternatives(settings.mask, batch)}")
    mask = batch[settings.mask].cpu().bool() if settings.mask else None
    values = FieldValues(feature_rows(tensor, mask, axis), axis)
    names = _feature_names(settings, values.values.shape[1], name)
    kinds = _kinds(tensor, values, settings, names)
    features = tuple(
        _feature(feature, kind, values.values[:, index])
        for index, (feature, kind) in enumerate(zip(names, kinds, strict=True))
    )
    report = FieldReport(
        name,
        tuple(tensor.shape[1:]),
        str(tensor.dtype).removeprefix("torch."),
        features,
        _options(tensor, kinds),
    )
    return report, values


def normalizer_configs(report: FieldReport, values: FieldValues, options: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Fitted configuration of every option that is not ``none``."""
    asked = [option for option in options if option != "none"]
    finite = FieldValues(values.values[values.values.isfinite().all(dim=1)], values.axis)
    if asked and not len(finite.values):
        bad = ", ".join(feature.name for feature in report.features if feature.nonfinite)
        raise TaskError(f"the input '{report.name}' has no training sample without NaN or infinity (look at {bad})")
    return {option: normalizer_config(option, finite, report.kinds) for option in asked}


def classify(values: Tensor) -> str:
    """Kind of one feature, from its values ``[N]``: the first question that is answered with yes."""
    finite = values[values.isfinite()].sort().values
    if len(finite) == 0 or bool(finite[0] == finite[-1]):
        return "constant"
    if bool(((finite == 0) | (finite == 1)).all()):
        return "binary"
    whole = bool((finite == finite.round()).all() and finite[0] >= 0)
    if whole and _is_identifier(finite):
        return "identifier"
    if _is_heavy_tailed(finite):
        return "heavy_tailed"
    return "count" if whole else "continuous"


def _is_identifier(ordered: Tensor) -> bool:
    """Whole numbers that fill their range, none of them common, without tails."""
    distinct, counts = ordered.unique(return_counts=True)
    span = float(ordered[-1] - ordered[0]) + 1
    return (
        len(distinct) >= MIN_IDENTIFIERS
        and len(distinct) >= MIN_COVERAGE * min(span, len(ordered))
        and int(counts.max()) <= MAX_SHARE * len(ordered)
        and _reach(ordered, 1.0) <= MAX_IDENTIFIER_REACH
    )


def _is_heavy_tailed(ordered: Tensor) -> bool:
    sizes = ordered.abs().sort().values
    ratio = float(_at(sizes, 0.999) / _at(sizes, 0.5).clamp(min=1e-12))
    return _reach(ordered, 0.999) >= MIN_HEAVY_REACH and ratio >= MIN_HEAVY_RATIO


def _reach(ordered: Tensor, tip: float) -> float:
    """Distance of the ``tip`` quantile from the median over that of the 95% quantile, on the heavier side."""
    middle = _at(ordered, 0.5)
    upper = (_at(ordered, tip) - middle) / (_at(ordered, 0.95) - middle).clamp(min=1e-12)
    lower = (middle - _at(ordered, 1 - tip)) / (middle - _at(ordered, 0.05)).clamp(min=1e-12)
    return float(max(upper, lower))


def _at(ordered: Tensor, quantile: float) -> Tensor:
    return ordered[round(quantile * (len(ordered) - 1))]


def _feature_axis(tensor: Tensor, settings: FieldSettings) -> int:
    image = settings.kind == ("image",) or (not settings.kind and tensor.ndim == 4)
    return 1 if image and tensor.ndim == 4 and not settings.features else -1


def _feature_names(settings: FieldSettings, features: int, field: str) -> tuple[str, ...]:
    if not settings.features:
        return (field,) if features == 1 else tuple(f"{field}[{index}]" for index in range(features))
    if len(settings.features) != features:
        raise TaskError(
            f"model.fields.{field}.features names {len(settings.features)} features, its last axis has {features}"
        )
    return settings.features


def _kinds(tensor: Tensor, values: FieldValues, settings: FieldSettings, names: tuple[str, ...]) -> tuple[str, ...]:
    if settings.kind:
        return settings.kind if len(settings.kind) == len(names) else settings.kind * len(names)
    if tensor.ndim == 4 and not settings.features:
        return ("image",) * len(names)
    if tensor.dtype == torch.bool:
        return ("binary",) * len(names)
    if not tensor.is_floating_point():
        return ("tokens",) * len(names)
    if len(names) > MAX_NAMED_FEATURES:
        return (classify(values.values.flatten()),) * len(names)
    return tuple(classify(values.values[:, index]) for index in range(len(names)))


def _options(tensor: Tensor, kinds: tuple[str, ...]) -> tuple[str, ...]:
    if not is_numeric(tensor):
        return ("none",)
    fitting = [option for kind in dict.fromkeys(kinds) for option in OPTIONS[kind]]
    if len(set(kinds)) > 1 and fitting:
        return ("none", "per_kind")  # one option for all would z-score an identifier
    return ("none", *dict.fromkeys(fitting))


def _feature(name: str, kind: str, values: Tensor) -> FeatureReport:
    finite = values[values.isfinite()]
    some = finite if len(finite) else torch.zeros(1, dtype=torch.float64)
    return FeatureReport(
        name,
        kind,
        float(some.min()),
        float(some.max()),
        float(some.mean()),
        float(some.std(correction=0)),
        int(len(values) - len(finite)),
    )
