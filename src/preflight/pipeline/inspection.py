"""Stage 1: look at the task without training it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from preflight.core.errors import TaskError, alternatives
from preflight.core.model_settings import FieldSettings
from preflight.core.settings import Settings, find_config
from preflight.pipeline.today import Today, read_today
from preflight.pipeline.user_file import UserFile
from preflight.probes.constant import best_constants
from preflight.probes.fields import FieldReport, inspect_field, normalizer_configs
from preflight.probes.fit import check_fit, one_line
from preflight.tasks.data import Batch, Source, spread
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded
from preflight.trials.evaluation import evaluate

TARGET_SAMPLES = 2048


@dataclass(frozen=True)
class Inspection:
    """What is known before training.

    ``references`` are what scores relate to: the best constant predictor of each loss, or its value at
    initialisation where no constant could be fitted (``constants`` then has None). ``options`` are the
    normalizations that may be searched per input field, today's first.
    """

    today: Today
    fields: tuple[FieldReport, ...]
    constants: Mapping[str, float | None]
    initial: Mapping[str, float]
    references: Mapping[str, float]
    options: Mapping[str, tuple[str, ...]]

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
        }


def open_task(settings: Settings) -> PyTorchTask:
    """The user's task on its device; raises :class:`TaskError` where it cannot be built."""
    torch.set_num_threads(settings.threads)
    return PyTorchTask(settings.model, settings.trust, pick_device(settings.device))


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
    fields, options = [], {}
    for name in task.data.roles.inputs:
        report, values = inspect_field(name, task.data.train, settings.model.fields.get(name, FieldSettings()))
        fields.append(report)
        own = settings.space.normalization or {}
        asked = tuple(str(choice) for choice in own[name].choices) if name in own else report.options
        for option, config in normalizer_configs(report, values, asked).items():
            task.normalizers[(name, option)] = config
        if name in today.params.normalization:
            options[name] = tuple(dict.fromkeys((today.params.normalization[name], *report.options)))
    output = check_fit(task, today.params, settings.seed)
    constants = best_constants(
        task.losses, output, _targets(task, task.data.train), _targets(task, task.data.validation)
    )
    initial = _initial_losses(settings, task, today)
    references = {name: initial[name] if value is None else value for name, value in constants.items()}
    return Inspection(today, tuple(fields), constants, initial, references, options)


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


def _targets(task: PyTorchTask, source: Source) -> Batch:
    batch = source.batch(spread(len(source), TARGET_SAMPLES))
    return {name: batch[name] for name in task.data.roles.targets}


def _initial_losses(settings: Settings, task: PyTorchTask, today: Today) -> dict[str, float]:
    with seeded(settings.seed, task.device):
        job = task.job(today.params)
        ones = {loss.name: 1.0 for loss in task.losses}
        try:
            return evaluate(job, task, ones, settings.budget.validation_samples, today.params.batch_size).losses
        except Exception as error:  # the user's model in evaluation mode, or the metric on all of the samples
            raise TaskError(f"the validation fails: {one_line(error)}") from error


def normalization_that_fits(inspection: Inspection) -> dict[str, str]:
    """Per field the first option for its kind, where today's inputs are not normalized; else today's."""
    chosen = {}
    for report in inspection.fields:
        current = inspection.today.params.normalization.get(report.name)
        fitting = [option for option in report.options if option != "none"]
        per_kind = "per_kind" if "per_kind" in fitting else None
        raw = current == "none" and not all(feature.normalized for feature in report.features)
        if current is not None:
            chosen[report.name] = (per_kind or fitting[0]) if raw and fitting else current
    return chosen
