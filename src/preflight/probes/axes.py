"""Which axis of ``[N, A, B]`` holds the features: channels of a signal ``[N, C, L]``, or columns of a sequence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from preflight.core.model_settings import FieldSettings
from preflight.probes.fields import MAX_UNIT_MEAN, MAX_UNIT_STD, MIN_UNIT_STD
from preflight.tasks.data import Batch, spread, take_samples
from preflight.tasks.pytorch import PyTorchTask

# Values that are looked at, and samples that are needed to tell a mean from noise.
MAX_VALUES, MIN_SAMPLES = 2**21, 32
# Neighbours correlate by so much more than what lies apart: time runs along that axis. Columns have no such order.
ORDER = 0.2


def settled_of(task: PyTorchTask) -> Mapping[str, FieldSettings]:
    """What is known of a task's inputs; its samples are read only where there is something to find out."""
    known, roles = task.settings.fields, task.data.roles
    first = task.data.train.batch(torch.zeros(1, dtype=torch.long))
    if not any(is_open(first[name], known.get(name, FieldSettings())) for name in roles.inputs):
        return known
    return settled(known, take_samples(task.data.train, most=task.extent.samples)[1], roles.inputs)


def settled(fields: Mapping[str, FieldSettings], batch: Batch, inputs: Iterable[str]) -> Mapping[str, FieldSettings]:
    """``fields`` with the axis of the features where it is not the usual one, by some training samples.

    The usual one, which is kept where the evidence is weak, is the last, and the first of images ``[N, C, H, W]``.
    A declared axis, named features, several kinds and a mask for the positions leave nothing to find out.
    """
    found = dict(fields)
    for name in inputs:
        known = fields.get(name, FieldSettings())
        if is_open(batch[name], known) and is_by_channel(batch[name]):
            found[name] = replace(known, axis=1)
    return found


def is_open(values: Tensor, known: FieldSettings) -> bool:
    """Whether nobody has said where the features lie, and it could be on either axis."""
    is_said = known.axis is not None or known.features or len(known.kind) > 1 or known.mask is not None
    return values.ndim == 3 and values.is_floating_point() and not is_said


def is_by_channel(values: Tensor) -> bool:
    """Whether ``values[N, A, B]`` have their features on axis 1 and positions on axis 2.

    One normalization has to serve all positions of a channel, so that little is lost where this is wrong. A channel
    that stands alone is one; of several, time must run along their positions, or their scales differ.
    """
    if len(values) < MIN_SAMPLES or not values[0].numel():
        return False
    some = values[spread(len(values), max(MIN_SAMPLES, MAX_VALUES // values[0].numel()))].detach().cpu().double()
    some = some.masked_fill(~some.isfinite(), torch.nan)
    if values.shape[2] == 1 or not one_scale_serves(some):
        return False
    if values.shape[1] == 1:
        return True
    along, across = order_of(some), order_of(some.transpose(1, 2))
    if across > along + ORDER:
        return False
    return along > across + ORDER or not one_scale_serves(some.transpose(1, 2))


def one_scale_serves(values: Tensor) -> bool:
    """Whether all of ``values[N, A, B]`` count as normalized by one mean and deviation for each of A."""
    rows = values.transpose(1, 2).flatten(0, 1)
    center, scale = rows.nanmean(dim=0), _deviation(rows)
    if not bool((scale > 0).all()):
        return False
    means = (values.nanmean(dim=0) - center.unsqueeze(1)) / scale.unsqueeze(1)
    deviations = _deviation(values) / scale.unsqueeze(1)
    varying = deviations > 0  # the border of an image never changes
    fits = (deviations >= MIN_UNIT_STD) & (deviations <= MAX_UNIT_STD)
    return bool((means.abs() <= MAX_UNIT_MEAN).all() and (fits | ~varying).all())


def order_of(values: Tensor) -> float:
    """By how much neighbours on the last axis of ``values[N, A, B]`` correlate more than what lies half of it apart."""
    size = values.shape[2]
    if size < 3:
        return 0.0
    units = (values - values.nanmean(dim=0)) / _deviation(values).clamp(min=1e-300)

    def correlation(apart: int) -> float:
        return float((units[..., apart:] * units[..., :-apart]).nanmean(dim=0).abs().nanmean())

    return correlation(1) - correlation(size // 2) if size > 3 else 0.0


def _deviation(values: Tensor) -> Tensor:
    """Deviation over the first axis, of what is there."""
    return (values - values.nanmean(dim=0)).square().nanmean(dim=0).sqrt()
