"""Targets that may be trained in other units than their own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from preflight.core.model_settings import FieldSettings
from preflight.core.params import Params
from preflight.core.settings import Settings
from preflight.probes.constant import best_constants
from preflight.probes.fields import inspect_field
from preflight.tasks.base import NamedLoss, pick_target
from preflight.tasks.data import Batch
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.statistics import FieldValues
from preflight.tasks.target_normalizer import target_config

GROUP = "target_normalization"
STANDARDIZE = "standardize"
FAR, TINY = 10.0, 0.01
"""Outputs of a network begin at about 0 to 1: a target that lies or varies so far off is worth another unit."""
MAX_FEATURES = 1024
"""A list of more means in a config is no config."""
ERRORS = (0.1, 1.0, 3.0)
EXACT = 1e-3
"""Share of the loss of an error of one deviation that may be left where the output is the target."""


def fit_targets(
    settings: Settings, task: PyTorchTask, today: Params, train: Batch, output: Any
) -> dict[str, tuple[str, ...]]:
    """Register a normalizer for every target whose losses let it change its unit; options by setting, today's first.

    ``output`` is the model's on the first samples of ``train``. ``standardize`` is an option where the target's scale
    asks for it, or the user does.
    """
    targets = {name: train[name] for name in task.data.roles.targets}
    options: dict[str, tuple[str, ...]] = {}
    for name, own in today.target_normalization.items():
        setting = f"{GROUP}.{name}"
        values = _values(task, name, train)
        found: tuple[str, ...] = (own,)
        if _can_be_fitted(values):
            config = target_config(values, ("continuous",) * values.values.shape[1])
            task.normalizers[(setting, STANDARDIZE)] = config
            if not all(_is_distance(loss, output, targets) for loss in _losses(task, name, STANDARDIZE)):
                del task.normalizers[(setting, STANDARDIZE)]
            elif own == "none" and (is_far(values.values) or name in (settings.space.target_normalization or {})):
                found = (own, STANDARDIZE)
        options[setting] = found
    return options


def constants_as_trained(
    task: PyTorchTask, today: Params, output: Any, train: Batch, validation: Batch
) -> dict[tuple[str, str], dict[str, float | None]]:
    """Best constant predictors of the losses of a target in its deviations, by setting and option."""
    found = {}
    for setting, option in list(task.normalizers):
        group, _, name = setting.partition(".")
        if group == GROUP:
            losses = tuple(_losses(task, name, option))
            found[(setting, option)] = best_constants(losses, output, train, validation, today.batch_size)
    return found


def is_far(values: Tensor) -> bool:
    """Whether a feature of ``values[N, F]`` lies or varies far from what outputs begin with, or all of them hardly do.

    A mean of many deviations is far, too: the bias has all that way to go before anything else is seen.
    """
    mean, std = values.nanmean(dim=0).abs(), _std(values)
    if float(values.nan_to_num(nan=0.0).abs().max()) <= TINY:
        return bool((std > 0).any())
    return bool(((mean >= FAR) | (std >= FAR) | ((std > 0) & (mean >= FAR * std))).any())


def _std(values: Tensor) -> Tensor:
    return (values - values.nanmean(dim=0)).square().nanmean(dim=0).sqrt()


def _values(task: PyTorchTask, name: str, train: Batch) -> FieldValues:
    field = inspect_field(name, train, FieldSettings(), len(task.data.train))
    return field.values


def _can_be_fitted(field: FieldValues) -> bool:
    known = field.values.isfinite().any(dim=0)
    return bool(known.all()) and field.values.shape[1] <= MAX_FEATURES and bool((_std(field.values) > 0).any())


def _losses(task: PyTorchTask, target: str, option: str) -> list[NamedLoss]:
    return [loss for loss in task.losses_with({target: option}) if loss.normalizer is not None]


def _is_distance(loss: NamedLoss, output: Any, targets: Batch) -> bool:
    """Whether a loss is zero where the output is the target and grows with the error, in the target's units and ours.

    A logarithm, a probability or a count is asked of the target as it is, and has no meaning in deviations.
    """
    assert loss.normalizer is not None
    chosen = output if loss.output is None or not isinstance(output, Mapping) else output[loss.output]
    if not isinstance(chosen, Tensor) or not chosen.ndim:
        return False
    some = {name: tensor[: len(chosen)] for name, tensor in targets.items()}
    target = pick_target(some, loss.target)
    if not isinstance(target, Tensor) or target.numel() != chosen.numel():
        return False
    scale, reached = float(loss.normalizer.scale), target.detach().reshape(chosen.shape)
    return all(_grows(kept, reached, scale, some) for kept in (loss, replace(loss, normalizer=None)))


def _grows(loss: NamedLoss, reached: Tensor, scale: float, targets: Batch) -> bool:
    picked = replace(loss, output=None)
    try:
        with torch.no_grad():
            exact, *up = (float(picked(reached + error * scale, targets)) for error in (0.0, *ERRORS))
            down = [float(picked(reached - error * scale, targets)) for error in ERRORS]
    except Exception:  # the user's loss may refuse outputs as large as its targets
        return False
    rises = all(left < right for side in (up, down) for left, right in pairwise((exact, *side)))
    return math.isfinite(max(*up, *down)) and rises and abs(exact) <= EXACT * up[1]
