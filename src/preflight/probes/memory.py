"""Memory of a training step: a fixed part and a part per sample, fitted from batch sizes that were run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import finalize

import torch
from torch import Tensor

from preflight.core.params import Params
from preflight.probes.training_step import take_step, wait_for
from preflight.tasks.base import Job
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

# Steps of one size, after which memory should stay where it is.
STEPS = 8
LIMIT_S = 3.0


def look_at_memory(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """``{"memory": {...}}``: bytes of a training step, never scaled from one peak.

    ``measured`` ``{batch size: bytes}`` at a quarter, a half and the whole of today's batch: the largest amount
    allocated on an accelerator, on the CPU weights, gradients, optimizer state and what the forward pass saves for
    the backward. ``fixed`` and ``per_sample`` are the line through the two largest. ``capacity`` of the accelerator, or
    None. ``after_steps``: bytes that are held after each of a few steps of one size. ``out_of_memory`` is the size
    that did not fit, or None. What cannot be measured is left out.
    """
    with seeded(seed, task.device):
        job = task.job(params)
        meter = _Accelerator(task.device) if task.device.type == "cuda" else _Saved(job)
        measured, failed = _measure(task, job, meter, _sizes(params.batch_size))
        held = [] if failed else _held_after_steps(task, job, meter, params.batch_size)
    found: dict[str, Any] = {
        "measured": {str(size): value for size, value in measured.items()},
        "capacity": meter.capacity,
        "out_of_memory": failed,
        "after_steps": held,
    }
    return {"memory": {**found, **_fitted(measured)}}


def _sizes(batch_size: int) -> list[int]:
    """A quarter, a half and the whole; batch norm wants two samples at least."""
    return sorted({max(min(2, batch_size), batch_size // part) for part in (4, 2, 1)})


def _measure(task: PyTorchTask, job: Job, meter: _Meter, sizes: list[int]) -> tuple[dict[int, int], int | None]:
    measured: dict[int, int] = {}
    for size in sizes:
        batch = task.data.train.batch(torch.arange(min(size, len(task.data.train))))
        try:
            take_step(job, task, batch)  # allocates the optimizer's state and whatever is kept between steps
            with meter.watching():
                take_step(job, task, batch)
                wait_for(task.device)
            measured[size] = meter.peak
        except torch.OutOfMemoryError:
            return measured, size
    return measured, None


def _held_after_steps(task: PyTorchTask, job: Job, meter: _Meter, size: int) -> list[int]:
    batch = task.data.train.batch(torch.arange(size))
    held: list[int] = []
    started = time.perf_counter()
    with meter.watching():
        while len(held) < STEPS and time.perf_counter() - started < LIMIT_S:
            take_step(job, task, batch)
            wait_for(task.device)
            held.append(meter.held)
    return held


def _fitted(measured: dict[int, int]) -> dict[str, float]:
    """``fixed`` and ``per_sample`` of the line through the two largest sizes; nothing from one."""
    if len(measured) < 2:
        return {}
    small, large = sorted(measured)[-2:]
    per_sample = (measured[large] - measured[small]) / (large - small)
    return {"fixed": measured[large] - per_sample * large, "per_sample": per_sample}


class _Accelerator:
    """Counts what the allocator of a CUDA device gives out."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.capacity: int | None = torch.cuda.get_device_properties(device).total_memory

    @property
    def peak(self) -> int:
        return torch.cuda.max_memory_allocated(self.device)

    @property
    def held(self) -> int:
        return torch.cuda.memory_allocated(self.device)

    @contextmanager
    def watching(self) -> Iterator[None]:
        torch.cuda.reset_peak_memory_stats(self.device)
        yield


class _Saved:
    """Counts what is saved for the backward pass, each storage once; weights and buffers are there anyway."""

    def __init__(self, job: Job) -> None:
        self.capacity: int | None = None
        self._job = job
        self.held = self._largest = 0
        self._count: dict[int, int] = {}

    @property
    def peak(self) -> int:
        return self._largest + _state_bytes(self._job)

    @contextmanager
    def watching(self) -> Iterator[None]:
        own = {tensor.untyped_storage().data_ptr() for tensor in _tensors(self._job)}
        self.held = self._largest = 0
        self._count.clear()

        def pack(tensor: Tensor) -> _Held:
            storage = tensor.untyped_storage()
            place, size = storage.data_ptr(), storage.nbytes()
            kept = _Held(tensor)
            if place not in own:
                self._take(place, size)
                finalize(kept, self._release, place, size)
            return kept

        with torch.autograd.graph.saved_tensors_hooks(pack, _Held.unpack):
            yield

    def _take(self, place: int, size: int) -> None:
        self._count[place] = self._count.get(place, 0) + 1
        if self._count[place] == 1:
            self.held += size
            self._largest = max(self._largest, self.held)

    def _release(self, place: int, size: int) -> None:
        left = self._count.get(place, 0) - 1
        if left == 0:
            self.held -= size
        if left >= 0:
            self._count[place] = left


_Meter = _Accelerator | _Saved


class _Held:
    """A saved tensor, which dies with its graph."""

    __slots__ = ("__weakref__", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def unpack(self) -> Tensor:
        return self.tensor


def _tensors(job: Job) -> list[Tensor]:
    return [*job.network.parameters(), *job.network.buffers()]


def _state_bytes(job: Job) -> int:
    """Weights, buffers, gradients and the optimizer's state."""
    own = _tensors(job)
    gradients = [tensor.grad for tensor in own if tensor.grad is not None]
    state = [value for values in job.optimizer.state.values() for value in values.values() if isinstance(value, Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in (*own, *gradients, *state))
