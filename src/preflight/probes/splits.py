"""Do the splits hold the same fields in the same form? What a validation of another form gives is no score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from preflight.core.errors import TaskError, alternatives
from preflight.core.model_settings import FieldSettings
from preflight.probes.layout import layout_of
from preflight.tasks.data import Batch, Roles, is_numeric


def check_splits(roles: Roles, train: Batch, validation: Batch, known: Mapping[str, FieldSettings]) -> None:
    """Compare samples of both splits; raises :class:`TaskError` naming the field and its form in either.

    Lengths may differ, such as those of padded sequences ``[B, P, F]``; the number of features may not.
    """
    for name in (*roles.inputs, *roles.targets):
        settings = known.get(name, FieldSettings())
        if settings.mask is not None and settings.mask in train:
            _check_mask(name, settings.mask, validation)
        reason = _disagreement(name, train, validation, settings, is_amount=name in roles.quantities)
        if reason:
            raise TaskError(
                f"the field '{name}' is {form(train[name])} per sample in the train data and "
                f"{form(validation[name])} in the validation data: {reason}"
            )
        try:
            layout_of(name, validation, settings)
        except TaskError as error:
            raise TaskError(f"in the validation data, {error}") from error


def differences(roles: Roles, train: Batch, validation: Batch) -> str:
    """What differs between the splits without being wrong by itself: a clue where the validation fails."""
    found = list(_differences(roles, train, validation))
    return f"; in the train data, {', '.join(found)}" if found else ""


def form(tensor: Tensor) -> str:
    """Type and shape of one sample: ``float32[8]``."""
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape[1:])}"


def _differences(roles: Roles, train: Batch, validation: Batch) -> Iterator[str]:
    for name in (*roles.inputs, *roles.targets):
        if form(train[name]) != form(validation[name]):
            yield f"the field '{name}' is {form(train[name])} per sample, here {form(validation[name])}"


def _disagreement(
    name: str, train: Batch, validation: Batch, settings: FieldSettings, *, is_amount: bool
) -> str | None:
    one, other = train[name], validation[name]
    if _sort(one) != _sort(other):
        return f"{_sort(one)} in one and {_sort(other)} in the other; give both the same type"
    if one.ndim != other.ndim:
        return "give both as many axes"
    if one.ndim == 1 or not (is_numeric(one) or is_amount):
        return None
    axis = layout_of(name, train, settings).axis
    if one.shape[axis] != other.shape[axis]:
        hint = "; sequences of any length have the shape [P, 1]" if one.ndim == 2 else ""
        return f"{one.shape[axis]} features in one and {other.shape[axis]} in the other{hint}"
    return None


def _sort(tensor: Tensor) -> str:
    """Numbers of one sort are computed with alike, whatever their width."""
    if tensor.is_floating_point() or tensor.is_complex():
        return "floating-point numbers"
    return "true and false" if str(tensor.dtype) == "torch.bool" else "whole numbers"


def _check_mask(field: str, mask: str, validation: Batch) -> None:
    if mask not in validation:
        raise TaskError(
            f"model.fields.{field}.mask={mask} is in the train data, and the validation data has no such field; "
            f"{alternatives(mask, validation)}"
        )
