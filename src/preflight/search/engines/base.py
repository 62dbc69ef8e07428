"""The contract of an engine, and the recipe from which a worker makes its own lab."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from preflight.core.settings import Settings
from preflight.tasks.pytorch import PyTorchTask
from preflight.trials.lab import Lab, TrialSpec
from preflight.trials.outcome import Result


class Engine(Protocol):
    """Runs specifications; results come in their order."""

    def run(self, specs: Sequence[TrialSpec]) -> Iterator[Result]:
        """Results of ``specs``; raises KeyboardInterrupt when the user stops it."""

    def close(self) -> None:
        """End every worker."""


@dataclass(frozen=True)
class Recipe:
    """A lab that can be sent to another process."""

    settings: Settings
    device: str
    normalizers: Mapping[tuple[str, str], Mapping[str, Any]]
    references: Mapping[str, float]
    run_dir: Path
    batch_size: int

    def make(self) -> Lab:
        """Build the task and its lab."""
        torch.set_num_threads(self.settings.threads)
        task = PyTorchTask(self.settings.model, self.settings.trust, torch.device(self.device))
        task.normalizers.update(self.normalizers)
        samples = self.settings.budget.validation_samples
        return Lab(task, self.run_dir, self.references, self.batch_size, samples)
