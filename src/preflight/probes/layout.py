"""Where the features of a field lie in its tensor, what they are called, and which positions are padding."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from preflight.core.errors import TaskError, alternatives
from preflight.core.model_settings import FieldSettings
from preflight.tasks.data import Batch


@dataclass(frozen=True)
class Layout:
    """Features of a field: their ``axis`` in a batch (1 for channels before the positions, else -1) and their names.

    ``mask`` names the field that is False where this one is padding: for a sample, a position or a single value.
    """

    field: str
    axis: int
    features: tuple[str, ...]
    mask: str | None = None

    def by_feature(self, batch: Batch) -> Tensor:
        """The field of ``batch`` as ``[B, P, F]``, P being the positions of a sample."""
        tensor = batch[self.field]
        return tensor.movedim(self.axis, -1).reshape(len(tensor), -1, len(self.features))

    def valid(self, batch: Batch) -> Tensor | None:
        """False where there is padding: ``[B, P, 1]``, or ``[B, P, F]`` of a mask for every value; None without one."""
        if self.mask is None:
            return None
        mask, tensor = batch[self.mask].bool(), batch[self.field]
        if mask.shape == tensor.shape:
            return mask.movedim(self.axis, -1).reshape(len(mask), -1, len(self.features))
        shape = tensor.movedim(self.axis, -1).shape[:-1]
        wide = mask.reshape(*mask.shape, *(1,) * (len(shape) - mask.ndim)).expand(shape)
        return wide.reshape(len(wide), -1, 1)


def layout_of(field: str, batch: Batch, settings: FieldSettings) -> Layout:
    """Layout of a field; raises :class:`TaskError` where the settings do not fit the tensor."""
    if field not in batch:
        raise TaskError(f"model.fields names '{field}'; known: {', '.join(batch)}")
    tensor = batch[field]
    axis = _feature_axis(field, tensor, settings)
    names = _feature_names(settings, tensor.shape[axis] if tensor.ndim > 1 else 1, field)
    if settings.mask is not None:
        _check_mask(field, settings.mask, batch)
    return Layout(field, axis, names, settings.mask)


def _feature_axis(field: str, tensor: Tensor, settings: FieldSettings) -> int:
    if settings.axis is not None:
        if settings.axis >= max(2, tensor.ndim):
            raise TaskError(f"model.fields.{field}.axis={settings.axis}, and its batches are {list(tensor.shape)}")
        return -1 if settings.axis >= tensor.ndim - 1 else settings.axis
    image = settings.kind == ("image",) or (not settings.kind and tensor.ndim == 4)
    return 1 if image and tensor.ndim == 4 and not settings.features else -1


def _feature_names(settings: FieldSettings, features: int, field: str) -> tuple[str, ...]:
    if not settings.features:
        return (field,) if features == 1 else tuple(f"{field}[{index}]" for index in range(features))
    if len(settings.features) != features:
        raise TaskError(
            f"model.fields.{field}.features names {len(settings.features)} features, its "
            f"{'last axis' if settings.axis is None else f'axis {settings.axis}'} has {features}"
        )
    return settings.features


def _check_mask(field: str, name: str, batch: Batch) -> None:
    if name not in batch:
        raise TaskError(f"model.fields.{field}.mask names '{name}'; {alternatives(name, batch)}")
    mask, shape = batch[name].shape, batch[field].shape
    if mask not in (shape, shape[: min(len(mask), len(shape) - 1)]):
        raise TaskError(
            f"model.fields.{field}.mask={name} has the shape {list(mask[1:])} per sample, which is neither the "
            f"field's, {list(shape[1:])}, nor that of its positions"
        )
