"""What an optimizer step costs, counted and not timed: the same model gets the same number of steps on any machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from preflight.core.params import Params
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

# Costs in floating-point operations of a matrix product, as a CPU core does about ten billion of them a second: an
# operation has its overhead in Python and dispatch, and an element is read and written where little is computed.
OPERATION = 1e5
ELEMENT = 10
# The backward pass costs twice the forward pass (Kaplan et al. 2020, arXiv 2001.08361).
FORWARD_AND_BACKWARD = 3


def steps_within(task: PyTorchTask, params: Params, seed: int, work: float, most: int, fewest: int = 3) -> int:
    """Optimizer steps of today's batch that cost about ``work`` operations together, from ``fewest`` to ``most``."""
    return max(fewest, min(most, int(work / work_of_step(task, params, seed))))


def work_of_step(task: PyTorchTask, params: Params, seed: int) -> float:
    """Operations of one optimizer step; counted in a forward pass of a model that is thrown away."""
    with seeded(seed, task.device):
        job, batch = task.job(params), next(task.batches(params, seed))
        job.network.train()
        with torch.no_grad(), _Counter() as counter:
            job.outputs(batch)
    updates = ELEMENT * sum(item.numel() for _, item in job.parameters)
    return float(FORWARD_AND_BACKWARD * counter.work + updates)


class _Counter(TorchDispatchMode):
    """Adds up the work of the operations that run under it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types here
        self.work = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        products: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        self.work += OPERATION + ELEMENT * _elements(found)
        if products is not None:
            self.work += products(*args, **(kwargs or {}), out_val=found)
        return found


def _elements(found: Any) -> int:
    if isinstance(found, Tensor):
        return found.numel()
    return sum(_elements(item) for item in found) if isinstance(found, tuple | list) else 0
