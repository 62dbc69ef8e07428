"""What each loss asks of the parameters: gradient norms and their cosines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from preflight.probes.steps import targets_of
from preflight.tasks.base import Job
from preflight.tasks.data import Batch
from preflight.tasks.pytorch import PyTorchTask

# Values of gradients that are held at once, over all losses: one gigabyte of float32.
MAX_HELD = 2**28


@dataclass(frozen=True)
class Measured:
    """Of one batch: value and gradient norm by loss, cosine by pair of losses; whether losses share parameters."""

    values: Mapping[str, float]
    norms: Mapping[str, float]
    cosines: Mapping[tuple[str, str], float]
    shared: bool = True


@dataclass
class Pull:
    """What was measured on several batches, before training and a few steps ``later``."""

    weights: Mapping[str, float]
    measured: list[Measured] = field(default_factory=list)
    later: list[Measured] = field(default_factory=list)

    @property
    def batches(self) -> int:
        """Number of batches before training."""
        return len(self.measured)

    def add(self, measured: Measured) -> None:
        """Take a batch in."""
        self.measured.append(measured)

    def by_loss(self) -> dict[str, dict[str, Any]]:
        """Facts of each loss, by its name."""
        norms = self._norms(self.measured)
        shares, later = (self._shares([item for item in items if item.shared]) for items in (self.measured, self.later))
        facts: dict[str, dict[str, Any]] = {}
        for name, weight in self.weights.items():
            values = [item.values[name] for item in self.measured if name in item.values]
            facts[name] = {
                "initial": _mean(values),
                "initial_std": _deviation(values),
                "gradient_norm": norms.get(name),
                "weighted_gradient_norm": None if norms.get(name) is None else abs(weight) * norms[name],
                "share": shares.get(name),
                "share_later": later.get(name),
            }
        return facts

    def cosines(self) -> dict[str, tuple[float, float, float | None]]:
        """By pair ``a|b``: mean and highest cosine over the batches before training, and the highest one later."""
        pairs = {pair for item in self.measured for pair in item.cosines}
        found = {}
        for a, b in sorted(pairs):
            values, later = (
                [item.cosines[a, b] for item in items if (a, b) in item.cosines]
                for items in (self.measured, self.later)
            )
            found[f"{a}|{b}"] = (math.fsum(values) / len(values), max(values), max(later, default=None))
        return found

    def _norms(self, measured: list[Measured]) -> dict[str, float]:
        found = {name: _mean([item.norms[name] for item in measured if name in item.norms]) for name in self.weights}
        return {name: norm for name, norm in found.items() if norm is not None}

    def _shares(self, measured: list[Measured]) -> dict[str, float]:
        """Of what losses ask of the parameters that they share; none where they share none."""
        pulled = {name: abs(self.weights[name]) * norm for name, norm in self._norms(measured).items()}
        total = math.fsum(pulled.values())
        return {name: value / total for name, value in pulled.items()} if total > 0 else {}


def pulls(job: Job, batch: Batch, task: PyTorchTask) -> Measured:
    """Gradient of every loss on the parameters that more than one of them reaches; on all where there are none."""
    output = job.outputs(batch)
    targets = targets_of(task, batch)
    tensors = [item for _, item in job.parameters]
    size = sum(item.numel() for item in tensors)
    values: dict[str, float] = {}
    gradients: dict[str, tuple[Tensor | None, ...]] = {}
    for loss in job.losses:
        value = loss(output, targets)
        values[loss.name] = float(value.detach())
        # Two at least for a cosine; of more than memory holds, the others are left out.
        if value.requires_grad and (len(gradients) < 2 or (len(gradients) + 1) * size < MAX_HELD):
            gradients[loss.name] = torch.autograd.grad(value, tensors, retain_graph=True, allow_unused=True)
    reached = [sum(items[index] is not None for items in gradients.values()) for index in range(len(tensors))]
    wanted = 2 if len(job.losses) > 1 and any(count > 1 for count in reached) else 1
    shared = [index for index, count in enumerate(reached) if count >= wanted]
    norms = {name: norm_of([items[index] for index in shared]) for name, items in gradients.items()}
    cosines = {}
    for a, b in combinations(gradients, 2):
        both = [(gradients[a][i], gradients[b][i]) for i in shared]
        dot = sum(float((x * y).sum()) for x, y in both if x is not None and y is not None)
        if wanted == 2 and norms[a] > 0 and norms[b] > 0 and math.isfinite(dot):
            cosines[a, b] = dot / (norms[a] * norms[b])
    return Measured(values, norms, cosines, shared=wanted == 2 or len(job.losses) == 1)


def norm_of(gradients: Sequence[Tensor | None]) -> float:
    """L2 norm of all ``gradients`` together, those that are not there left out."""
    found = [torch.linalg.vector_norm(item.detach().float()) for item in gradients if item is not None]
    return float(torch.linalg.vector_norm(torch.stack(found))) if found else 0.0


def _mean(values: list[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite and len(finite) == len(values) else None


def _deviation(values: list[float]) -> float | None:
    mean = _mean(values)
    return None if mean is None else math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
