"""What a run searches, and what it leaves alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from preflight.advise.refine import Room
from preflight.core.search_settings import SpaceSettings
from preflight.pipeline.inspection import Inspection
from preflight.pipeline.written import is_mapped
from preflight.search.space import distributions
from preflight.tasks.pytorch import PyTorchTask

Bounds = tuple[float, float]


def searched(
    space: SpaceSettings, inspection: Inspection, task: PyTorchTask, lr_bounds: Bounds
) -> dict[str, BaseDistribution]:
    """Axes of the search: where a file is corrected, only what can be written into it.

    Raises :class:`ConfigError` for a space that does not fit the task.
    """
    found = _all(space, inspection, task, lr_bounds)
    return {name: axis for name, axis in found.items() if can_be_written(name, inspection)}


def range_of_lr(axes: Mapping[str, BaseDistribution]) -> Bounds | None:
    """Lowest and highest learning rate of the search; None where it is kept."""
    match axes.get("lr"):
        case FloatDistribution(low=low, high=high):
            return low, high
        case CategoricalDistribution(choices=choices):
            rates = [float(choice) for choice in choices if isinstance(choice, int | float)]
            return min(rates), max(rates)
        case _:
            return None


def room_to_refine(axes: Mapping[str, BaseDistribution], space: SpaceSettings) -> Room:
    """What may be changed of the settings that the search has found: inside the user's bounds, from the user's list."""
    is_free = space.lr is not None and isinstance(axes.get("lr"), FloatDistribution)
    lr = (space.lr.low or 0.0, space.lr.high or math.inf) if space.lr is not None and is_free else None
    warmups = axes.get("warmup_fraction")
    choices = warmups.choices if isinstance(warmups, CategoricalDistribution) else ()
    return Room(lr, tuple(float(choice) for choice in choices if isinstance(choice, int | float)))


def not_searched(space: SpaceSettings, inspection: Inspection, task: PyTorchTask, lr_bounds: Bounds) -> list[str]:
    """Axes that were asked for, and that the file to correct has no key for."""
    return [name for name in _all(space, inspection, task, lr_bounds) if not can_be_written(name, inspection)]


def free_normalizations(space: SpaceSettings, inspection: Inspection) -> list[str]:
    """Settings, such as ``normalization.input``, that are left to preflight and can be written."""
    groups = {"normalization": space.normalization, "target_normalization": space.target_normalization}
    names = [name for name in inspection.options if groups[name.split(".", 1)[0]] is None]
    return [name for name in names if can_be_written(name, inspection)]


def may_be_mended(name: str, space: SpaceSettings, inspection: Inspection, axes: Collection[str]) -> bool:
    """Whether a finding's remedy may change a setting: one that is searched, or that is left open for that."""
    return (name in axes or name in space.mended) and can_be_written(name, inspection)


def why_closed(names: Collection[str], inspection: Inspection) -> str:
    """Why settings of a remedy may not change."""
    unmapped = [name for name in names if not can_be_written(name, inspection)]
    if unmapped:
        return f"model.mapping has no key of your file for {', '.join(unmapped)}"
    return f"space says keep of {', '.join(names)}: give it auto"


def _all(
    space: SpaceSettings, inspection: Inspection, task: PyTorchTask, lr_bounds: Bounds
) -> dict[str, BaseDistribution]:
    today, scored = inspection.today.params, tuple(inspection.references)
    return distributions(space, today, lr_bounds, inspection.options, task.factory_parameters(), scored)


def can_be_written(name: str, inspection: Inspection) -> bool:
    """Whether a setting has a key in the file to correct, or there is none to correct."""
    return inspection.today.file is None or is_mapped(name, inspection.today)
