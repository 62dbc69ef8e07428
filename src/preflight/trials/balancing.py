"""Weights of several losses that follow the training: GradNorm and uncertainty weighting.

Both start where the first batch has every loss pull, or count, the same: losses in raw units lie decades apart, and
from equal weights either would spend a short run on the way there. Their weights always add up to today's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from preflight.core.search_settings import GRADNORM
from preflight.tasks.base import Job

# Of the weights' own Adam, on their logarithms: GradNorm's (arXiv 1711.02257, section 4).
RATE = 0.025
# How much faster a loss that lags is to be trained, likewise: its value for tasks that differ.
ASYMMETRY = 1.5
# What hardly pulls at all is not weighed up beyond this share of the largest.
LEAST = 1e-12
TINY = 1e-30  # of a float32


@dataclass(frozen=True)
class Balancing:
    """A method of ``core.search_settings.BALANCINGS``, and the losses whose weights it moves; others keep theirs."""

    method: str
    losses: tuple[str, ...]


@dataclass(frozen=True)
class Balance:
    """Weights by loss: where the first batch put them, and the geometric mean over the last half of the run."""

    first: Mapping[str, float]
    settled: Mapping[str, float]


class Weighting:
    """Weights of a job's losses at each step: the settings' own, which stay."""

    def __init__(self, job: Job) -> None:
        self._fixed = [float(job.params.loss_weights.get(loss.name, 1.0)) for loss in job.losses]

    def weights(self, losses: Sequence[Tensor]) -> Sequence[float | Tensor]:
        """A weight for each of this step's ``losses``, whose graphs stay as they are."""
        del losses
        return self._fixed

    def balance(self) -> Balance | None:
        """What the weights were; None where they stay."""
        return None


class Balancer(Weighting):
    """Weights that follow the training, as logarithms that an Adam of their own moves."""

    def __init__(self, job: Job, balancing: Balancing) -> None:
        super().__init__(job)
        self._names = balancing.losses
        self._places = [index for index, loss in enumerate(job.losses) if loss.name in balancing.losses]
        self._sum = sum(self._fixed[place] for place in self._places)
        self._method = _GradNorm(job) if balancing.method == GRADNORM else _Uncertainty()
        self._logs: nn.Parameter | None = None
        self._adam: torch.optim.Optimizer | None = None
        self._trace: list[Tensor] = []

    def weights(self, losses: Sequence[Tensor]) -> Sequence[float | Tensor]:
        """Weights for this step, after the method has looked at its ``losses``."""
        balanced = [losses[place] for place in self._places]
        sizes = self._method.sizes(balanced)
        if self._logs is None or self._adam is None:
            self._logs = nn.Parameter(-torch.maximum(sizes, LEAST * sizes.max()).clamp(min=TINY).log())
            self._adam = torch.optim.Adam([self._logs], lr=RATE)
        else:
            self._logs.grad = self._method.slope(self._logs.detach(), sizes, balanced)
            self._adam.step()
        now = self._scaled(self._logs.detach())
        self._trace.append(now)
        found: list[float | Tensor] = list(self._fixed)
        for place, weight in zip(self._places, now, strict=True):
            found[place] = weight
        return found

    def balance(self) -> Balance | None:
        """First and settled weights; None before the first step."""
        if not self._trace:
            return None
        rows = torch.stack(self._trace).double().cpu().clamp(min=TINY)
        settled = rows[len(rows) // 2 :].log().mean(dim=0).exp()
        settled = settled * self._sum / settled.sum()
        return Balance(self._named(rows[0]), self._named(settled))

    def _scaled(self, logs: Tensor) -> Tensor:
        """Weights of a sum that stays, so that the learning rate keeps its meaning."""
        return torch.softmax(logs, dim=0) * self._sum

    def _named(self, weights: Tensor) -> dict[str, float]:
        return dict(zip(self._names, weights.tolist(), strict=True))


class _GradNorm:
    """Gradients of one norm on the parameters that losses share, larger for losses that lag (arXiv 1711.02257)."""

    def __init__(self, job: Job) -> None:
        self._parameters: Sequence[Tensor] = [item for _, item in job.parameters]
        self._shared: Sequence[Tensor] | None = None
        self._begun = torch.ones(())

    def sizes(self, losses: Sequence[Tensor]) -> Tensor:
        """Gradient norm ``[losses]`` of each loss, unweighted, over all parameters that two of them reach."""
        if self._shared is None:
            self._shared = self._find_shared(losses)
            self._begun = torch.stack([item.detach() for item in losses])
        return torch.stack([_norm(_gradients(item, self._shared), item) for item in losses])

    def slope(self, logs: Tensor, sizes: Tensor, losses: Sequence[Tensor]) -> Tensor:
        """Slope ``[losses]`` of the distance between each norm and the one wanted, in means of them, by the logs."""
        left = (torch.stack([item.detach() for item in losses]) / self._begun).clamp(min=0)
        norms = torch.softmax(logs, dim=0) * sizes
        wanted = norms.mean() * (left / left.mean().clamp(min=TINY)) ** ASYMMETRY
        return torch.sign(norms - wanted) * norms / norms.mean().clamp(min=TINY)

    def _find_shared(self, losses: Sequence[Tensor]) -> Sequence[Tensor]:
        reached = [_gradients(item, self._parameters) for item in losses]
        counts = [sum(gradients[index] is not None for gradients in reached) for index in range(len(self._parameters))]
        shared = [item for item, count in zip(self._parameters, counts, strict=True) if count > 1]
        return shared or self._parameters


class _Uncertainty:
    """Every loss over a learned size of its own, plus the logarithm of that size (arXiv 1705.07115)."""

    def sizes(self, losses: Sequence[Tensor]) -> Tensor:
        """Value ``[losses]`` of each loss, which is the size that would be learned in the end."""
        return torch.stack([item.detach() for item in losses])

    def slope(self, logs: Tensor, sizes: Tensor, losses: Sequence[Tensor]) -> Tensor:
        """Slope ``[losses]`` of ``sum(exp(log) * loss - log)`` by the logs."""
        del losses
        return logs.exp() * sizes - 1


def _gradients(loss: Tensor, parameters: Sequence[Tensor]) -> Sequence[Tensor | None]:
    if not loss.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)


def _norm(gradients: Sequence[Tensor | None], like: Tensor) -> Tensor:
    found = [torch.linalg.vector_norm(item.detach().float()) for item in gradients if item is not None]
    return torch.linalg.vector_norm(torch.stack(found)) if found else torch.zeros((), device=like.device)


def make_weighting(job: Job, balancing: Balancing | None) -> Weighting:
    """Weights that stay, or that follow the training."""
    return Weighting(job) if balancing is None else Balancer(job, balancing)
