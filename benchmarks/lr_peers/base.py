"""What every tool is asked, and a model and data in the forms that other libraries expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from benchmarks.lr_tasks.base import LrTask
from benchmarks.lr_truth import Truth
from benchmarks.lr_verdict import Suggestion

Answers = dict[str, Suggestion]


@dataclass(frozen=True)
class Question:
    """One task and one seed of a tool. ``budget_steps`` is what preflight spent on the task, a median over its seeds.

    Only preflight looks at ``truth``: for a start that is wrong by a known factor.
    """

    task: LrTask
    seed: int
    truth: Truth
    budget_steps: int
    folder: Path


Tool = Callable[[Question], Answers]


class Rows(Dataset[tuple[Any, ...]]):
    """Samples ``(*inputs, *targets)`` of a task's training split."""

    def __init__(self, task: LrTask) -> None:
        self._columns = [task.split[0][name] for name in (*task.inputs, *task.targets)]

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(column[index] for column in self._columns)


class Pairs(Dataset[tuple[Any, Any]]):
    """The same as ``(inputs, targets)``, each a tuple."""

    def __init__(self, task: LrTask) -> None:
        self._rows, self._inputs = Rows(task), len(task.inputs)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        row = self._rows[index]
        return row[: self._inputs], row[self._inputs :]


class OneArgument(nn.Module):
    """A task's model that takes all its inputs as one tuple."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: tuple[Tensor, ...]) -> Any:
        """``model(*inputs)``."""
        return self.model(*inputs)


def loss_of(task: LrTask) -> Callable[..., Tensor]:
    """``loss(output, *targets)``."""

    def loss(output: Any, *targets: Tensor) -> Tensor:
        return task.criterion(output, named(task, targets))

    return loss


def named(task: LrTask, targets: tuple[Tensor, ...]) -> Mapping[str, Tensor]:
    """Targets by name."""
    return dict(zip(task.targets, targets, strict=True))
