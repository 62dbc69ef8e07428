"""Statistics of a field on the training split, as an input normalizer needs them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# What is written to a config is what is trained with: statistics are cut to so many digits before the first trial.
DIGITS = 6
LOG_KINDS = ("heavy_tailed",)
SCALED_KINDS = ("identifier", "tokens")


@dataclass(frozen=True)
class FieldValues:
    """Values of a field, one row a sample or position and one column a feature: ``values[N, F]``, float64.

    ``axis`` is the axis of the features in a batch: 1 for images ``[B, C, H, W]``, else the last.
    """

    values: Tensor
    axis: int


def feature_rows(field: Tensor, mask: Tensor | None, axis: int) -> Tensor:
    """``field`` with its features moved last and everything else flattened; padding (``mask`` False) left out."""
    if field.ndim == 1:
        return field.double().unsqueeze(1)
    moved = field.movedim(axis, -1)
    return (moved[mask] if mask is not None else moved.reshape(-1, moved.shape[-1])).double()


def normalizer_config(option: str, field: FieldValues, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Configuration of :class:`InputNormalizer` for ``option``, fitted to ``field``; ``kinds[F]`` for ``per_kind``."""
    features = field.values.shape[1]
    config: dict[str, Any] = {"kind": option}
    if field.axis != -1:
        config["axis"] = field.axis
    if option in ("batch_norm", "layer_norm"):
        return {**config, "features": features}
    logs = _log_features(option, kinds, features)
    values = torch.where(torch.tensor(logs), signed_log1p(field.values), field.values)
    center, scale = _center_and_scale(option, values, kinds)
    # Deviations that float32 cannot tell from the values' own rounding are none: a constant feature.
    resolution = torch.finfo(torch.float32).eps * values.abs().amax(dim=0)
    scales = safe_scale([_rounded(s) if s > eps else 0.0 for s, eps in _pairs(scale, resolution)])
    if any(logs):
        config["log"] = logs if option == "per_kind" else True
    centers = [_rounded(c, s) for c, s in zip(center.tolist(), scales, strict=True)]
    return {**config, "center": centers, "scale": scales}


def signed_log1p(values: Tensor) -> Tensor:
    """``sign(x) * log(1 + |x|)``: a logarithm that takes zero and negative values."""
    return values.sign() * values.abs().log1p()


def _log_features(option: str, kinds: tuple[str, ...], features: int) -> list[bool]:
    if option == "per_kind":
        return [kind in LOG_KINDS for kind in kinds]
    return [option == "log_standardize"] * features


def _center_and_scale(option: str, values: Tensor, kinds: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    if option == "robust":
        quartiles = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
        low, center, high = (_quantile(values, q) for q in quartiles)
        return center, high - low
    if option == "minmax":
        low, high = values.amin(dim=0), values.amax(dim=0)
        return low, high - low
    center, scale = values.mean(dim=0), values.std(dim=0, correction=0)
    if option == "per_kind":
        for index, kind in enumerate(kinds):
            if kind == "binary":
                center[index], scale[index] = 0.0, 1.0
            elif kind in SCALED_KINDS:
                # To -1..1: a stopgap, an identifier wants an embedding.
                low, high = values[:, index].min(), values[:, index].max()
                center[index], scale[index] = (low + high) / 2, (high - low) / 2
    return center, scale


def _quantile(values: Tensor, q: Tensor) -> Tensor:
    # torch.quantile refuses more than 16 million values.
    rank = round(float(q) * (len(values) - 1)) + 1
    return values.kthvalue(rank, dim=0).values


def _pairs(left: Tensor, right: Tensor) -> Iterator[tuple[float, float]]:
    return zip(left.tolist(), right.tolist(), strict=True)


def _rounded(value: float, scale: float | None = None) -> float:
    """Six significant digits, of ``scale`` where that is finer: the mean of a date wants more digits than a date."""
    digits = DIGITS
    if value and scale and math.isfinite(value):
        digits += max(0, math.ceil(math.log10(abs(value) / scale)))
    return float(f"{value:.{digits}g}")


def safe_scale(scale: list[float]) -> list[float]:
    """Scales that can divide: zero and non-finite ones are 1."""
    return [value if value and math.isfinite(value) else 1.0 for value in scale]
