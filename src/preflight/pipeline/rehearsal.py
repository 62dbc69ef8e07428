"""Can every setting that this run may change be written? Tried on the text, in memory, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from preflight.core.edit import Edit
from preflight.core.errors import ConfigFileError
from preflight.core.params import ParamValue
from preflight.core.settings import Settings
from preflight.emit.patch import apply
from preflight.pipeline.axes import searched
from preflight.pipeline.inspection import Inspection
from preflight.pipeline.ladder import HIGHEST, LOWEST
from preflight.pipeline.today import Today
from preflight.pipeline.user_file import UserFile
from preflight.pipeline.written import edits, rounded
from preflight.tasks.pytorch import PyTorchTask

Axes = Mapping[str, BaseDistribution]
Normalizers = Mapping[tuple[str, str], Mapping[str, Any]]


def rehearse(settings: Settings, inspection: Inspection, task: PyTorchTask) -> None:
    """Make the edits that the search may lead to.

    Raises :class:`ConfigError` for a space that does not fit the task, and :class:`ConfigFileError` naming the mapped
    key that cannot be edited, because an anchor shares its value for example.
    """
    axes = searched(settings.space, inspection, task, (LOWEST, HIGHEST))
    if inspection.today.file is not None:
        try_edits(inspection.today, inspection.today.file, axes, task.normalizers)


def try_edits(today: Today, file: UserFile, axes: Axes, normalizers: Normalizers) -> None:
    """Each edit by itself, so that only the guilty key is named, and then one of every key together."""
    _refuse_shared(file, axes)
    names = {key: name for name, key in file.mapping.items()}
    together: dict[str, Edit] = {}
    for edit in _possible(today, axes, normalizers):
        try:
            apply(file.text, [edit], source=str(file.path))
        except ConfigFileError as error:
            raise ConfigFileError(f"model.mapping.{names[edit.path]}={edit.path}: {error}") from error
        together[edit.path] = edit
    apply(file.text, list(together.values()), source=str(file.path))


def _refuse_shared(file: UserFile, axes: Axes) -> None:
    for one, other in combinations([name for name in axes if name in file.mapping], 2):
        if file.mapping[one] == file.mapping[other]:
            raise ConfigFileError(
                f"model.mapping.{one} and model.mapping.{other} are both {file.mapping[one]}, and both are searched: "
                f"one key cannot hold two values; leave one out, or keep it with space.{other}=keep"
            )


def _possible(today: Today, axes: Axes, normalizers: Normalizers) -> Iterator[Edit]:
    """Edits that the search may lead to: of those that write the same kind of value to a key, one."""
    seen = set()
    for name, axis in axes.items():
        for value in _values(axis):
            params = rounded(today.params.with_values({name: value}), today)
            for edit in edits(params, today, normalizers, {}):
                kind = (edit.path, type(edit.new), isinstance(edit.new, str) and "${" in edit.new)
                if kind not in seen:
                    seen.add(kind)
                    yield edit


def _values(axis: BaseDistribution) -> tuple[ParamValue, ...]:
    if isinstance(axis, CategoricalDistribution):
        return axis.choices
    assert isinstance(axis, FloatDistribution | IntDistribution)
    return axis.low, axis.high
