"""Statistics of a field on the training split, as an input normalizer needs them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# What is written to a config is what is trained with: statistics are cut to so many digits before the first trial.
DIGITS = 6
LOG_KINDS = ("heavy_tailed",)
KEPT_KINDS = ("binary", "tokens")
FLOAT32 = torch.finfo(torch.float32)
# Quantile of the sizes at which a logarithm begins: what lies below it is as good as zero, all above has its decades.
LOW = 0.05
# Of values of both signs half stay linear: the logarithm would tear the small ones apart by their sign.
MIDDLE = 0.5
# The largest size over the unit of a logarithm: beyond it float32 would overflow.
MAX_UNITS = 1e30


@dataclass(frozen=True)
class FieldValues:
    """Values of a field, one row a sample or position and one column a feature: ``values[N, F]``, float64.

    NaN stands for a value that does not count. ``axis`` is the axis of the features in a batch: 1 for images
    ``[B, C, H, W]``, else the last.
    """

    values: Tensor
    axis: int


def normalizer_config(option: str, field: FieldValues, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Configuration of :class:`InputNormalizer` for ``option``, fitted to ``field``; ``kinds[F]`` for ``per_kind``."""
    features = field.values.shape[1]
    config: dict[str, Any] = {"kind": option}
    if field.axis != -1:
        config["axis"] = field.axis
    if option in ("batch_norm", "layer_norm"):
        return {**config, "features": features}
    columns = [_known(values) for values in field.values.unbind(dim=1)]
    logs = _log_features(option, kinds, features)
    units = [_log_unit(values) if log else 0.0 for values, log in zip(columns, logs, strict=True)]
    columns = [signed_log(values, unit) if unit else values for values, unit in zip(columns, units, strict=True)]
    fitted = [_fit(option, kind, values) for values, kind in zip(columns, kinds, strict=True)]
    if any(logs):
        config["log_unit"] = units
    return {**config, "center": [center for center, _ in fitted], "scale": [scale for _, scale in fitted]}


def _known(values: Tensor) -> Tensor:
    """The values of a feature that count, as a float32 network meets them."""
    return values[~values.isnan()].clamp(-FLOAT32.max, FLOAT32.max)


def _log_unit(values: Tensor) -> float:
    """Size at which the logarithm of a feature begins: a low quantile of its sizes, so that its units do not matter.

    Where more than a few values have the other sign it is the median size.
    """
    known = values[values != 0]
    if not len(known):
        return 1.0
    sizes, negative = known.abs(), float((known < 0).double().mean())
    unit = _quantile(sizes, LOW if min(negative, 1 - negative) <= LOW else MIDDLE)
    return _rounded(max(unit, float(sizes.max()) / MAX_UNITS, FLOAT32.tiny))


def _fit(option: str, kind: str, values: Tensor) -> tuple[float, float]:
    """Center and scale as they are written."""
    center, scale = _center_and_scale(option, kind, values)
    # Deviations that float32 cannot tell from the values' own rounding are none: a constant feature.
    resolution = max(FLOAT32.eps * float(values.abs().max()), FLOAT32.tiny)
    (safe,) = safe_scale([_rounded(scale) if scale > resolution else 0.0])
    return _rounded(center, safe), safe


def signed_log(values: Tensor, unit: Tensor | float) -> Tensor:
    """``sign(x) * log(1 + |x| / unit)``: a logarithm that takes zero and negative values."""
    return values.sign() * (values.abs() / unit).log1p()


def _log_features(option: str, kinds: tuple[str, ...], features: int) -> list[bool]:
    if option == "per_kind":
        return [kind in LOG_KINDS for kind in kinds]
    return [option == "log_standardize"] * features


def _center_and_scale(option: str, kind: str, values: Tensor) -> tuple[float, float]:
    if option == "robust":
        low, center, high = (_quantile(values, q) for q in (0.25, 0.5, 0.75))
        return center, high - low
    low, high = float(values.min()), float(values.max())
    if option == "minmax":
        return low, high - low
    if option == "per_kind" and kind in KEPT_KINDS:
        return 0.0, 1.0
    if option == "per_kind" and kind == "identifier":
        # To -1..1: a stopgap, an identifier wants an embedding.
        return (low + high) / 2, (high - low) / 2
    return float(values.mean()), float(values.std(correction=0))


def _quantile(values: Tensor, q: float) -> float:
    # torch.quantile refuses more than 16 million values.
    return float(values.kthvalue(round(q * (len(values) - 1)) + 1).values)


def _rounded(value: float, scale: float | None = None) -> float:
    """Six significant digits, of ``scale`` where that is finer: the mean of a date wants more digits than a date."""
    digits = DIGITS
    if value and scale and math.isfinite(value):
        digits += max(0, math.ceil(math.log10(abs(value) / scale)))
    return float(f"{value:.{digits}g}")


def safe_scale(scale: list[float]) -> list[float]:
    """Scales that can divide: zero and non-finite ones are 1."""
    return [value if value and math.isfinite(value) else 1.0 for value in scale]
