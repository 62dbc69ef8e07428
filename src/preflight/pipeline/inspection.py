"""Stage 1: look at the task without training it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from preflight.core.errors import RefusedError, TaskError, alternatives
from preflight.core.model_settings import OWN_SETTINGS, FieldSettings
from preflight.core.params import Params
from preflight.core.settings import Settings, find_config
from preflight.pipeline.references import (
    Samples,
    before_training,
    doubts,
    known_constants,
    scored_losses,
    training_targets,
    validation_targets,
)
from preflight.pipeline.targets import constants_as_trained, fit_targets
from preflight.pipeline.today import Today, read_today
from preflight.pipeline.user_file import UserFile
from preflight.probes.axes import settled
from preflight.probes.classes import check_classes
from preflight.probes.constant import best_constants, free
from preflight.probes.fields import Field, FieldReport, inspect_field, normalizer_configs, target_ranges
from preflight.probes.fit import check_fit
from preflight.probes.flaws import INPUT, TARGET, TRAINING, VALIDATION, Expected, Flaw, find_flaws
from preflight.probes.harm import check_flaws
from preflight.probes.layout import layout_of
from preflight.probes.sense import check_sense, falls_without_end, within_reach
from preflight.probes.splits import check_splits
from preflight.probes.ties import ties_of
from preflight.search.engines.count import process_count
from preflight.tasks.data import take_samples
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded


@dataclass(frozen=True)
class Inspection:
    """What is known before training.

    ``initial`` are the losses at initialisation, or at the ``checkpoint`` that training starts from. ``references`` are
    what scores relate to: the best constant predictor of each loss, or its initial value where none could be fitted
    (``constants`` then has None); penalties, which ask nothing of the data, have none and stay out of the score.
    ``options`` are the normalizations that may be searched, by setting (``normalization.input``), today's first.
    ``notes`` say what stands out in the data.
    """

    today: Today
    fields: tuple[FieldReport, ...]
    constants: Mapping[str, float | None]
    initial: Mapping[str, float]
    references: Mapping[str, float]
    options: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()
    as_trained: Mapping[tuple[str, str], Mapping[str, float | None]] = field(default_factory=dict)
    """Constants of the losses of a target that is trained in other units, by setting and option."""
    checkpoint: Mapping[str, str] | None = None
    """``{path, sha256, taken}``, see :class:`preflight.tasks.checkpoint.Checkpoint`."""
    samples: int = 0
    """Training samples that were looked at."""

    def constants_with(self, params: Params) -> dict[str, float | None]:
        """Best constant predictor of each loss in the units that ``params`` train it in."""
        found = dict(self.constants)
        for name, option in params.target_normalization.items():
            found |= self.as_trained.get((f"target_normalization.{name}", option), {})
        return found

    def as_dict(self) -> dict[str, Any]:
        """As inspection.json holds it."""
        file = self.today.file
        return {
            "today": asdict(self.today.params),
            "length": asdict(self.today.length),
            "config": None if file is None else str(file.path),
            "mapping": {} if file is None else dict(file.mapping),
            "fields": [asdict(report) for report in self.fields],
            "constants": dict(self.constants),
            "initial": dict(self.initial),
            "references": dict(self.references),
            "options": dict(self.options),
            "notes": list(self.notes),
            "samples": self.samples,
            "checkpoint": None if self.checkpoint is None else dict(self.checkpoint),
        }


@contextmanager
def staying() -> Iterator[None]:
    """User code that ends the program while it is only looked at is bad input, and not the end of ours."""
    try:
        yield
    except SystemExit as error:
        raise TaskError(f"the model, the data or a loss ends the program: sys.exit({error.code!r})") from error


def open_task(settings: Settings) -> PyTorchTask:
    """The user's task on its device; raises :class:`TaskError` where it cannot be built."""
    torch.set_num_threads(settings.threads)
    device = pick_device(settings.device)
    return PyTorchTask(settings.model, settings.trust, device, process_count(settings.workers, device))


def pick_device(name: str) -> torch.device:
    """``auto`` is the first GPU, or the CPU where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        count = torch.cuda.device_count()
        known = ["auto", "cpu", *(f"cuda:{index}" for index in range(count))]
        raise TaskError(f"device={name} cannot be used: {alternatives(name, known)}") from error
    return device


def open_file(settings: Settings) -> UserFile | None:
    """The file to correct, checked against the mapping; None where the task names none."""
    path = find_config(settings.model, settings.trust)
    return None if path is None else UserFile.open(path, settings.model.mapping)


def inspect_task(settings: Settings, task: PyTorchTask, file: UserFile | None) -> Inspection:
    """Read today's settings, look at every input field, check that one batch fits, and fit the constants."""
    today = read_today(settings.model, task, file, settings.space.plain)
    _check_names(settings, task)
    _check_batch_sizes(settings, task)
    train = take_samples(task.data.train, most=task.extent.samples)
    validation = take_samples(task.data.validation, "validation")
    known = settled(settings.model.fields, train[1], task.data.roles.inputs)
    fields = _look_at_inputs(known, task, train)
    check_splits(task.data.roles, train[1], validation[1], known)
    flaws = _find_flaws(task, fields, train, validation)
    check_classes(task, today.params, settings.seed, (train, validation))
    output = check_fit(task, today.params, settings.seed, flaws)
    targets = training_targets(task, train)
    check_sense(task.losses, output, {name: item[: today.params.batch_size] for name, item in targets.items()})
    notes = check_flaws(task, today.params, settings.seed, flaws)
    options = _fit_normalizers(settings, task, today, fields)
    options |= fit_targets(settings, task, today.params, train[1], output)
    held_out = validation_targets(settings, task, validation, today.params.batch_size)
    ties = ties_of(task, today.params, settings.seed, output, targets)
    constants = best_constants(task.losses, output, targets, held_out, today.params.batch_size, ties)
    begin = before_training(settings, task, today)
    initial = begin.original
    without_end = [loss.name for loss in task.losses if falls_without_end(loss, output, targets)]
    scored, more = scored_losses(task, output, targets, ties)
    reached = {
        loss.name: within_reach(loss, output, held_out, today.params.batch_size, value, ties.get(loss.name, free))
        for loss in task.losses
        if loss.name in scored and (value := constants[loss.name]) is not None
    }
    satisfied = [name for name, value in reached.items() if value != constants[name]]
    constants |= reached | dict.fromkeys(without_end)
    references = {name: value for name, value in {**initial, **known_constants(constants)}.items() if name in scored}
    for name, value in references.items():
        if not math.isfinite(value):
            raise RefusedError(f"the loss '{name}' is {value} on the validation data, before any training", "PF108")
    reports = tuple(field.report for field in fields)
    notes = (*notes, *more, *doubts(task, begin, without_end, satisfied), *_misfits(settings, task, today.params))
    as_trained = constants_as_trained(task, today.params, output, targets, held_out)
    checkpoint = None if task.checkpoint is None else task.checkpoint.as_dict()
    return Inspection(
        today, reports, constants, initial, references, options, notes, as_trained, checkpoint, len(train[0])
    )


def _look_at_inputs(known: Mapping[str, FieldSettings], task: PyTorchTask, train: Samples) -> list[Field]:
    return [
        inspect_field(name, train[1], known.get(name, FieldSettings()), len(task.data.train))
        for name in task.data.roles.inputs
    ]


def _find_flaws(task: PyTorchTask, fields: Sequence[Field], train: Samples, validation: Samples) -> list[Flaw]:
    """Bad values of either split, in inputs that hold numbers and in targets, by what the training inputs are like."""
    data, batch = task.data, train[1]
    numbers = data.numeric_inputs()
    expected = [Expected(INPUT, field.layout, field.ranges) for field in fields if field.report.name in numbers]
    for name in data.roles.targets:
        if batch[name].is_floating_point():
            layout = layout_of(name, batch, FieldSettings())
            expected.append(Expected(TARGET, layout, target_ranges(layout, batch, len(data.train))))
    return [
        *find_flaws(TRAINING, data.train, train, expected),
        *find_flaws(VALIDATION, data.validation, validation, expected),
    ]


def _fit_normalizers(
    settings: Settings, task: PyTorchTask, today: Today, fields: Sequence[Field]
) -> dict[str, tuple[str, ...]]:
    """Register every normalizer that may be trained with; gives the options per field, today's first."""
    options = {}
    own = settings.space.normalization or {}
    for item in fields:
        report, name = item.report, item.report.name
        asked = tuple(str(choice) for choice in own[name].choices) if name in own else report.options
        for option, config in normalizer_configs(report, item.values, asked).items():
            task.normalizers[(f"normalization.{name}", option)] = config
        if name in today.params.normalization:
            options[f"normalization.{name}"] = tuple(dict.fromkeys((today.params.normalization[name], *report.options)))
    return options


def _check_names(settings: Settings, task: PyTorchTask) -> None:
    inputs = task.data.roles.inputs
    for name in settings.model.fields:
        if name not in inputs:
            raise TaskError(f"model.fields names '{name}'; {alternatives(name, inputs)}")
    mapped = [key.split(".", 1)[1] for key in settings.model.mapping if key.startswith("normalization.")]
    for name in mapped:
        if name not in task.data.numeric_inputs():
            raise TaskError(
                f"model.mapping names normalization.{name}; {alternatives(name, task.data.numeric_inputs())}"
            )


def _check_batch_sizes(settings: Settings, task: PyTorchTask) -> None:
    axis, size = settings.space.plain.get("batch_size"), len(task.data.train)
    if axis is None:
        return
    for value in (*axis.choices, axis.high):
        if isinstance(value, int | float) and value > size:
            raise TaskError(f"space.batch_size={value:g} is larger than the {size} training samples")


def _misfits(settings: Settings, task: PyTorchTask, params: Params) -> Iterator[str]:
    """Searched parameters of the factory with values that the checkpoint does not fit, whose trials cannot start."""
    searched = {} if task.checkpoint is None else settings.space.plain
    for name, axis in searched.items():
        for value in (*axis.choices, axis.low, axis.high):
            if name in OWN_SETTINGS or value is None:
                continue
            try:
                with seeded(settings.seed, task.device):
                    task.job(params.with_values({name: int(value) if axis.integer else value}))
            except TaskError as error:
                yield f"trials with {name}={value} cannot start: {error}"
                break


def normalization_that_fits(inspection: Inspection) -> dict[str, str]:
    """Per setting the first option for the field's kind, where today it is not normalized; else today's."""
    chosen = {}
    for report in inspection.fields:
        current = inspection.today.params.normalization.get(report.name)
        fitting = [option for option in report.options if option != "none"]
        per_kind = "per_kind" if "per_kind" in fitting else None
        raw = current == "none" and not all(feature.normalized for feature in report.features)
        if current is not None:
            chosen[f"normalization.{report.name}"] = (per_kind or fitting[0]) if raw and fitting else current
    targets = {name: found[-1] for name, found in inspection.options.items() if name.startswith("target_")}
    return chosen | targets
