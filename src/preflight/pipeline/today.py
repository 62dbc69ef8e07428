"""Today's settings: what the user's file and the configuration say together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from preflight.core.errors import ConfigError, ConfigFileError, TaskError, alternatives
from preflight.core.model_settings import INTERVALS, OWN_SETTINGS, ModelSettings
from preflight.core.params import Params, ParamValue
from preflight.core.section import check_integer, check_number
from preflight.core.spelling import closest
from preflight.core.units import UNITS, RunLength, split_unit
from preflight.pipeline.user_file import UserFile
from preflight.tasks.normalizer import InputNormalizer
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.target_normalizer import TargetNormalizer

AS_CONFIGURED = "as configured"
"""Option of a normalization whose statistics the user's file holds already."""
DEFAULT_BATCH_SIZE = 32


@dataclass(frozen=True)
class Today:
    """Settings of the user's next long run, its length, and where both were read.

    ``horizon`` is the length as it was given: an amount and its unit.
    """

    params: Params
    length: RunLength
    file: UserFile | None
    sources: Mapping[str, str]
    horizon: tuple[float, str]

    def length_at(self, batch_size: int) -> RunLength:
        """The run at another batch size: as many epochs where it was given in epochs, else as many samples."""
        if self.horizon[1] == "steps":
            return self.length.at_batch_size(batch_size)
        return _run_length(self.horizon, replace(self.length, batch_size=batch_size))


def read_today(model: ModelSettings, task: PyTorchTask, file: UserFile | None, searched: Collection[str] = ()) -> Today:
    """Merge the file's values with ``model.baseline``; a setting that both give differently is an error.

    A parameter of the factory that is ``searched`` and given nowhere has the factory's default.

    Registers the file's own normalizations with the task. Raises :class:`ConfigError` naming the setting.
    """
    given = _Given(model, file)
    extras = _extras(given, task)
    batch_size = _batch_size(given, task)
    horizon = _horizon(given, model)
    length = _run_length(horizon, RunLength(1, batch_size, len(task.data.train), task.data.drop_last))
    params = Params(
        lr=_positive(given, "lr"),
        batch_size=batch_size,
        warmup_fraction=_warmup(given, length),
        shuffle=_boolean(given, "shuffle", True),
        weight_decay=_optional(given, "weight_decay"),
        clip_norm=_optional(given, "clip_norm", positive=True),
        scheduler_interval=_interval(given, model),
        num_workers=_workers(given, task),
        loss_weights={name: _number(given, f"loss_weights.{name}", 1.0) for name in model.losses},
        normalization={name: _normalization(given, name, task) for name in task.data.numeric_inputs()},
        target_normalization={name: _target_normalization(given, name, task) for name in task.scalable_targets()},
        extras={**task.factory_defaults(searched), **extras},
    )
    given.check_all_used()
    return Today(params, length, file, given.sources, horizon)


class _Given:
    """Values by setting, from the file first, and which of them were asked for."""

    def __init__(self, model: ModelSettings, file: UserFile | None) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.used: set[str] = set()
        for name, value in model.baseline.items():
            self._add(name, value, f"model.baseline.{name}")
        if file is not None:
            for name, value in file.values.items():
                self._add(name, value, f"{file.mapping[name]} in {file.path.name}")
        self.mapped = tuple(model.mapping)

    def _add(self, name: str, value: Any, source: str) -> None:
        if name in self.values and self.values[name] != value:
            raise ConfigError(
                f"{name} is {self.values[name]!r} by {self.sources[name]} and {value!r} by {source}; remove one"
            )
        self.values[name], self.sources[name] = value, source

    def get(self, name: str, default: Any = None) -> Any:
        self.used.add(name)
        value = self.values.get(name)
        return default if value is None else value

    def where(self, name: str) -> str:
        return self.sources.get(name, name)

    def in_units(self, stem: str) -> tuple[str, str, Any] | None:
        """``(name, unit, value)`` of a length, whichever unit it is given in."""
        names = {f"{stem}_{unit}": unit for unit in UNITS}
        found = [name for name in names if self.get(name) is not None]
        if len(found) > 1:
            raise ConfigError(f"the {stem} is given twice: {' and '.join(map(self.where, found))}; remove one")
        return (found[0], names[found[0]], self.values[found[0]]) if found else None

    def check_all_used(self) -> None:
        self.used.update(name for name in self.mapped if split_unit(name))
        for name in self.values:
            if name not in self.used:
                known = (
                    *OWN_SETTINGS,
                    "warmup_steps",
                    "horizon_steps",
                    "normalization.FIELD",
                    "target_normalization.FIELD",
                    "loss_weights.NAME",
                )
                raise ConfigError(f"'{name}' ({self.where(name)}) is not a setting; {alternatives(name, known)}")


def _positive(given: _Given, name: str) -> float:
    value = given.get(name)
    if value is None:
        where = f"map it (model.mapping.{name}) or give model.baseline.{name}"
        meant = closest(name, [other for other in given.values if other not in OWN_SETTINGS])
        hint = "" if meant is None else f"; is '{meant}' ({given.where(meant)}) meant?"
        raise ConfigError(f"today's {name} is not known: {where}{hint}")
    return _checked(value, given.where(name), name, positive=True)


def _checked(value: Any, where: str, name: str, *, positive: bool = False) -> float:
    number = check_number(value, where)
    if positive and number <= 0:
        hint = "; null means no clipping" if name == "clip_norm" else ""
        raise ConfigError(f"{name} must be positive, got {name}={value} in {where}{hint}")
    return number


def _number(given: _Given, name: str, default: float) -> float:
    return _checked(given.get(name, default), given.where(name), name)


def _optional(given: _Given, name: str, *, positive: bool = False) -> float | None:
    value = given.get(name)
    return None if value is None else _checked(value, given.where(name), name, positive=positive)


def _boolean(given: _Given, name: str, default: bool) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, got {value!r} in {given.where(name)}")
    return value


def _interval(given: _Given, model: ModelSettings) -> str | None:
    """How often the task's own scheduler is advanced; None where it has none."""
    value, where = given.get("scheduler_interval"), given.where("scheduler_interval")
    if model.scheduler is None:
        if value is not None:
            raise ConfigError(f"scheduler_interval={value} ({where}) advances nothing: there is no model.scheduler")
        return None
    if value is None:
        return model.scheduler_interval
    if value not in INTERVALS:
        raise ConfigError(f"scheduler_interval={value} ({where}) is no unit; {alternatives(str(value), INTERVALS)}")
    return str(value)


def _workers(given: _Given, task: PyTorchTask) -> int | None:
    """Processes that fetch the long run's samples: by the file, else those of the task's own loader."""
    value = given.get("num_workers")
    if value is None:
        return None if task.loader is None else task.loader.num_workers
    return check_integer(value, given.where("num_workers"), low=0)


def _batch_size(given: _Given, task: PyTorchTask) -> int:
    value = given.get("batch_size", task.data.batch_size or DEFAULT_BATCH_SIZE)
    size = check_integer(value, given.where("batch_size"))
    if size > len(task.data.train):
        raise TaskError(
            f"batch_size={size} ({given.where('batch_size')}) is larger than "
            f"the {len(task.data.train)} training samples"
        )
    return size


def _horizon(given: _Given, model: ModelSettings) -> tuple[float, str]:
    found = given.in_units("horizon")
    if found is None:
        if model.horizon_steps is None:
            raise ConfigError(
                "the length of the long run is not known: give model.horizon_steps, or map horizon_epochs or "
                "horizon_steps to a key of the file to correct"
            )
        return model.horizon_steps, "steps"
    name, unit, value = found
    if model.horizon_steps is not None:
        raise ConfigError(f"the length of the long run is given twice: model.horizon_steps and {given.where(name)}")
    if unit == "fraction":
        raise ConfigError(f"{name} cannot give the length of a run; use one of: steps, epochs, samples")
    return _checked(value, given.where(name), name, positive=True), unit


def _run_length(horizon: tuple[float, str], frame: RunLength) -> RunLength:
    """A run as long as ``horizon`` says, with the batches of ``frame``."""
    amount, unit = horizon
    per_unit = {"steps": 1.0, "epochs": float(frame.steps_per_epoch), "samples": 1 / frame.batch_size}
    return replace(frame, horizon_steps=max(1, round(amount * per_unit[unit])))


def _warmup(given: _Given, length: RunLength) -> float:
    found = given.in_units("warmup")
    if found is None:
        return 0.0
    name, unit, value = found
    amount = _checked(value, given.where(name), name)
    if amount < 0:
        raise ConfigError(f"{name} must not be negative, got {name}={value} in {given.where(name)}")
    if unit == "fraction" and amount > 1:
        raise ConfigError(f"{name} is a share of the run, from 0 to 1, got {name}={value} in {given.where(name)}")
    return length.to_fraction(amount, unit)


def _normalization(given: _Given, field: str, task: PyTorchTask) -> str:
    """``none``, or :data:`AS_CONFIGURED` where the file holds a normalizer."""
    return _read_normalizer(given, f"normalization.{field}", task, InputNormalizer.from_config)


def _target_normalization(given: _Given, field: str, task: PyTorchTask) -> str:
    return _read_normalizer(given, f"target_normalization.{field}", task, TargetNormalizer.from_config)


def _read_normalizer(given: _Given, name: str, task: PyTorchTask, read: Callable[[Any], nn.Module]) -> str:
    value, field = given.get(name), name.split(".", 1)[1]
    if value is None or value == "none":
        return "none"
    if not isinstance(value, Mapping) or value.get("kind") == "none":
        if isinstance(value, Mapping):
            return "none"
        raise ConfigFileError(
            f"{name}={value!r} in {given.where(name)} holds no statistics; expected nothing, none, or a mapping as "
            "preflight writes it: {kind: standardize, center: [...], scale: [...]}"
        )
    try:
        normalizer = read(value).to(task.device)
        with torch.no_grad():
            normalizer.eval()(task.data.train.batch(torch.zeros(1, dtype=torch.long))[field])
    except ConfigError as error:
        raise ConfigFileError(f"{name} in {given.where(name)}: {error}") from error
    task.normalizers[(name, AS_CONFIGURED)] = value
    return AS_CONFIGURED


def _extras(given: _Given, task: PyTorchTask) -> dict[str, ParamValue]:
    """Every other plain name is a parameter of the model factory; raises ConfigError if it has no such parameter."""
    own = {*OWN_SETTINGS, *(f"{stem}_{unit}" for stem in ("warmup", "horizon") for unit in UNITS)}
    names = [name for name in given.values if name not in own and "." not in name]
    parameters = task.factory_parameters()
    for name in names:
        if parameters is not None and name not in parameters:
            known = (*OWN_SETTINGS, "warmup_steps", "warmup_epochs", *parameters)
            raise ConfigError(
                f"'{name}' ({given.where(name)}) is neither a setting nor a parameter of model.factory; "
                f"{alternatives(name, known)}"
            )
    return {name: given.get(name) for name in names}
