"""The contract of an engine, and the recipe from which a worker makes its own lab."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from preflight.core.settings import Settings
from preflight.search.engines.count import process_count
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.schedules import Curve
from preflight.telemetry import store
from preflight.trials.lab import Lab, TrialSpec
from preflight.trials.loop import Hopeless
from preflight.trials.outcome import Result

Ended = Callable[[], None]


def unheard() -> None:
    """Nobody counts."""


class Engine(Protocol):
    """Runs trials, wherever that is: the same specification gives the same result everywhere."""

    def run(self, specs: Sequence[TrialSpec], ended: Ended = unheard) -> Iterator[Result]:
        """Results of ``specs``, in their order; raises KeyboardInterrupt when the user stops it.

        ``ended`` is called as each trial ends, which need not be in their order.
        """

    def run_one(self, spec: TrialSpec, hopeless: Hopeless) -> Result:
        """Result of one trial, which is given up at the first rung where it is ``hopeless``, asked in this process.

        A user who stops it gives an interrupted outcome.
        """

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
    curves: Mapping[str, Curve] = field(default_factory=dict)

    def make(self) -> Lab:
        """Build the task and its lab."""
        torch.set_num_threads(self.settings.threads)
        device = torch.device(self.device)
        processes = process_count(self.settings.workers, device)
        task = PyTorchTask(self.settings.model, self.settings.trust, device, processes)
        check_checkpoint(task, self.run_dir)
        task.normalizers.update(self.normalizers)
        samples = self.settings.budget.validation_samples
        return Lab(task, self.run_dir, self.references, self.batch_size, samples, curves=self.curves)


def check_checkpoint(task: PyTorchTask, run_dir: Path) -> None:
    """Raise :class:`TaskError` where a training has overwritten the checkpoint since the run in ``run_dir`` began."""
    if task.checkpoint is not None and (path := run_dir / store.INSPECTION).exists():
        task.checkpoint.check_same(store.read_json(path)["checkpoint"]["sha256"])
