"""TargetNormalizer: a regression is trained in units of its target's deviation, and answers in the target's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from preflight.core.errors import ConfigError, alternatives
from preflight.core.search_settings import TARGET_NORMALIZATIONS
from preflight.tasks.normalizer import InputNormalizer
from preflight.tasks.statistics import DIGITS, FieldValues, normalizer_config, safe_scale

KEYS = ("kind", "axis", "center", "scale")


class TargetNormalizer(nn.Module):
    """``(y - center) / scale``, and back: a mean per feature, and one scale for all of them.

    One scale keeps what the loss asks for: a squared or absolute error only changes its unit, while a scale per feature
    would weigh features anew. The statistics are buffers, saved with the model and never trained.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, center: list[float], scale: float, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis
        self.register_buffer("center", torch.tensor(center, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | str | None) -> TargetNormalizer:
        """The normalizer that `config_fixed.yaml` describes; nothing, or ``none``, leaves targets as they are.

        ``config`` is the mapping that preflight wrote: ``{kind: standardize, center: [4031.0], scale: [1250.0]}``.
        Raises :class:`ConfigError` for anything else.
        """
        if config is None or config == "none" or (isinstance(config, Mapping) and config.get("kind") == "none"):
            return cls([0.0], 1.0)
        if isinstance(config, Mapping) and config.get("kind", "standardize") not in TARGET_NORMALIZATIONS:
            kind = config.get("kind")
            known = alternatives(str(kind), TARGET_NORMALIZATIONS)
            raise ConfigError(f"normalization kind={kind} is none for targets; {known}")
        for key in config if isinstance(config, Mapping) else ():
            if key not in KEYS:
                raise ConfigError(f"unknown key '{key}' in a target's normalization; {alternatives(str(key), KEYS)}")
        checked = InputNormalizer.from_config(_same_scales(config))
        assert isinstance(checked, InputNormalizer)
        return cls(checked.center.tolist(), float(checked.scale[0]), checked.axis)

    def forward(self, target: Tensor) -> Tensor:
        """``target[B, ..., F, ...]`` in its own units -> in deviations from the mean."""
        return (target - self._center(target)) / self.scale

    def inverse(self, output: Tensor) -> Tensor:
        """A model's output in deviations from the mean -> in the target's own units."""
        return output * self.scale + self._center(output)

    def _center(self, values: Tensor) -> Tensor:
        if len(self.center) == 1:
            return self.center if values.ndim else self.center[0]
        axes = range(-values.ndim, values.ndim)
        if self.axis not in axes or values.shape[self.axis] != len(self.center):
            raise ConfigError(
                f"a normalization of {len(self.center)} target features, on axis={self.axis}, got values of "
                f"{list(values.shape)}"
            )
        shape = [1] * values.ndim
        shape[self.axis] = -1
        return self.center.view(shape)


def _same_scales(config: Mapping[str, Any] | str) -> Mapping[str, Any] | str:
    """A target has one scale, which an input's normalizer wants for every feature."""
    if not isinstance(config, Mapping):
        return config
    center, scale = config.get("center"), config.get("scale")
    if not isinstance(center, list | tuple) or not isinstance(scale, list | tuple) or len(scale) != 1:
        return config
    return {**config, "scale": list(scale) * len(center)}


def target_config(field: FieldValues, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Configuration that standardizes a target: the mean of each feature, the root mean square of their deviations."""
    config = normalizer_config("standardize", field, kinds)
    center = torch.tensor(config["center"], dtype=torch.float64)
    scale = float((field.values - center).square().nanmean(dim=0).mean().sqrt())
    return {**config, "scale": safe_scale([float(f"{scale:.{DIGITS}g}")])}
