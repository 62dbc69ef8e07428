"""A start of B2 as preflight takes it: settings, task and inspection, and the lab that every contestant trains in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.whole_starts import Start
from preflight.core.compose import compose_sweeps
from preflight.core.settings import Settings, Trust, parse
from preflight.pipeline.inspection import Inspection, inspect_task, open_task
from preflight.tasks.pytorch import PyTorchTask
from preflight.telemetry import store
from preflight.trials.lab import Lab

OVERRIDES = ("budget=quick", "threads=1", "workers=1")
# More than any of the validation splits has: all of it is looked at.
ALL = 10**6


@dataclass(frozen=True)
class Setup:
    """What a run of preflight begins with."""

    settings: Settings
    task: PyTorchTask
    inspection: Inspection

    def lab(self, folder: Path) -> Lab:
        """A lab of its own folder, scored as preflight scores, on all validation samples."""
        batch_size = self.inspection.today.params.batch_size
        return Lab(self.task, store.create_folder(folder), self.inspection.references, batch_size, ALL)


def settings_of(start: Start, best_lr: float, *overrides: str) -> Settings:
    """Settings of a run on the start."""
    task = start.task
    losses: dict[str, Any] = {
        item.name: {"function": item.function, "output": item.output, "target": item.target} for item in task.losses
    }
    model = {
        "factory": task.model,
        "data": task.data,
        "losses": losses,
        "baseline": start.settings(best_lr),
        "horizon_steps": task.horizon_steps,
        "inputs": task.inputs,
        "targets": task.targets,
        "optimizer": task.optimizer,
        "schedule": task.schedule,
        "fields": task.fields,
    }
    values = compose_sweeps([*OVERRIDES, *overrides])
    return parse({**values, "model": model}, task.name, None, Trust())


def set_up(settings: Settings) -> Setup:
    """Inspect the task."""
    task = open_task(settings)
    return Setup(settings, task, inspect_task(settings, task, None))
