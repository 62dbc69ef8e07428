"""InputNormalizer: fixed statistics as buffers, in front of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from preflight.core.errors import ConfigError, alternatives
from preflight.core.search_settings import NORMALIZATIONS
from preflight.core.section import check_integer
from preflight.tasks.statistics import FLOAT32, safe_scale, signed_log

KEYS = ("kind", "axis", "center", "scale", "log_unit", "features")


class InputNormalizer(nn.Module):
    """``(t(x) - center) / scale`` per feature; ``t`` is a signed ``log(1 + |x| / log_unit)``, or nothing if that is 0.

    The statistics are buffers: they move with the model, are saved with it, and are never trained.
    """

    center: Tensor
    scale: Tensor
    log_unit: Tensor

    def __init__(
        self,
        center: Sequence[float],
        scale: Sequence[float],
        log_unit: Sequence[float] = (),
        axis: int = -1,
    ) -> None:
        super().__init__()
        if len(center) != len(scale):
            raise ConfigError(f"center has {len(center)} values and scale has {len(scale)}; both need one per feature")
        units = list(log_unit) or [0.0] * len(center)
        if len(units) != len(center):
            raise ConfigError(f"log_unit has {len(units)} values for {len(center)} features")
        self.axis = axis
        self._any_log, self._all_log = any(units), all(units)
        self.register_buffer("center", torch.tensor(center, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(safe_scale(list(scale)), dtype=torch.float32))
        self.register_buffer("log_unit", torch.tensor(units, dtype=torch.float32))

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | str | None) -> nn.Module:
        """The normalizer that `config_fixed.yaml` describes; nothing, or ``none``, gives the identity.

        ``config`` is the mapping that preflight wrote: ``{kind: standardize, center: [4.9], scale: [6.0]}``.
        Raises :class:`ConfigError` (a ValueError's sibling, naming the key) for anything else.
        """
        if config is None or config == "none":
            return nn.Identity()
        if not isinstance(config, Mapping):
            raise ConfigError(f"a normalization is a mapping with kind, center and scale, got {config!r}")
        kind = str(config.get("kind", "standardize"))
        if kind not in NORMALIZATIONS:
            raise ConfigError(f"normalization kind={kind} is not known; {alternatives(kind, NORMALIZATIONS)}")
        for key in config:
            if key not in KEYS:
                raise ConfigError(f"unknown key '{key}' in a normalization; {alternatives(str(key), KEYS)}")
        if kind == "none":
            return nn.Identity()
        axis = _whole(config.get("axis", -1), "axis")
        if kind in ("batch_norm", "layer_norm"):
            return FeatureNorm(
                kind, check_integer(_needed(config, "features", kind), "features of a normalization"), axis
            )
        center, scale = (_numbers(config, key, kind) for key in ("center", "scale"))
        _check_scale(scale)
        units = _numbers(config, "log_unit", kind) if config.get("log_unit") is not None else []
        _check_units(units)
        return cls(center, scale, units, axis)

    def forward(self, values: Tensor) -> Tensor:
        """``values[B, ..., F, ...]`` -> the same in float32, F being on ``axis``; ``values[B]`` has one feature.

        Raises :class:`ConfigError` where there are not as many features as statistics.
        """
        values = values.to(self.center.dtype)
        features = len(self.center)
        if features > 1:  # one number may stand for all features
            _check_features(values, self.axis, features)
        shape = [1] * values.ndim
        if values.ndim > 1:
            shape[self.axis] = -1
        if self._any_log:
            unit = self.log_unit.view(shape)
            logs = signed_log(values, unit if self._all_log else torch.where(unit > 0, unit, torch.ones_like(unit)))
            values = logs if self._all_log else torch.where(unit > 0, logs, values)
        return (values - self.center.view(shape)) / self.scale.view(shape)


class FeatureNorm(nn.Module):
    """Batch or layer normalization over the features on ``axis``."""

    def __init__(self, kind: str, features: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.norm = nn.BatchNorm1d(features) if kind == "batch_norm" else nn.LayerNorm(features)

    def forward(self, values: Tensor) -> Tensor:
        """``values[B, ..., F, ...]`` -> the same shape; raises :class:`ConfigError` for another number of features."""
        _check_features(values, self.axis, self.norm.weight.numel())
        values = values.to(self.norm.weight.dtype)
        if values.ndim == 1:
            return self.norm(values.unsqueeze(1)).squeeze(1)  # type: ignore[no-any-return]
        moved = values.movedim(self.axis, -1)
        rows = self.norm(moved.reshape(-1, moved.shape[-1]))
        return rows.view(moved.shape).movedim(-1, self.axis)  # type: ignore[no-any-return]


def _check_features(values: Tensor, axis: int, features: int) -> None:
    """Torch would broadcast one feature to all of the statistics, and name no axis where it cannot."""
    if values.ndim > 1 and not -values.ndim <= axis < values.ndim:
        raise ConfigError(f"a normalization of axis={axis} got values of {values.ndim} axes, {list(values.shape)}")
    given = values.shape[axis] if values.ndim > 1 else 1
    if given != features:
        raise ConfigError(
            f"a normalization with statistics of {features} features got values of {given}, "
            f"on axis={axis} of {list(values.shape)}"
        )


def _needed(config: Mapping[str, Any], key: str, kind: str) -> Any:
    if config.get(key) is None:
        raise ConfigError(f"a normalization of kind={kind} needs '{key}'")
    return config[key]


def _numbers(config: Mapping[str, Any], key: str, kind: str) -> list[float]:
    value = _needed(config, key, kind)
    items = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not all(isinstance(item, int | float) and not isinstance(item, bool) for item in items):
        raise ConfigError(f"{key} of a normalization must be a list of numbers, got {value!r}")
    if not items:
        raise ConfigError(f"{key} of a normalization must be a list of numbers, got an empty one")
    for item in items:
        if not abs(item) <= FLOAT32.max:
            raise ConfigError(f"{key} of a normalization must hold finite numbers, got {item} in {value!r}")
    return [float(item) for item in items]


def _check_scale(scale: list[float]) -> None:
    for item in scale:
        if item < FLOAT32.tiny:
            raise ConfigError(f"scale of a normalization must be positive, got {item:g} in {scale!r}: it divides by it")


def _whole(value: object, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{key} of a normalization must be a whole number, got {value!r}")
    return value


def _check_units(units: list[float]) -> None:
    for item in units:
        if item != 0 and item < FLOAT32.tiny:
            raise ConfigError(
                f"log_unit of a normalization must be positive, or 0 for a feature without a logarithm, got {item:g} "
                f"in {units!r}"
            )
