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
from preflight.probes.growth import left_after_steps
from preflight.probes.training_step import take_step, wait_for, weighted_loss
from preflight.tasks.base import Job
from preflight.tasks.data import Batch
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

LIMIT_S = 3.0
# Slopes that agree by so much are one. Sizes are doubled until they do, so often at most.
AGREE = 0.05
DOUBLINGS = 8
# No size is tried that would take more of an accelerator than this.
ROOM = 0.7


def look_at_memory(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """``{"memory": {...}}``: bytes of a training step, never scaled from one peak.

    ``measured`` ``{batch size: bytes}`` at a quarter, a half and the whole of today's ``batch_size``, and at larger
    ones until they lie on a line: on an accelerator the largest amount allocated, on the CPU weights, gradients,
    optimizer state and what the forward pass saves for the backward. ``fixed`` and ``per_sample`` are the line through
    the two largest, of the forward and backward pass; ``step`` is what the optimizer's step takes at any size: a step
    of ``B`` samples needs ``max(step, fixed + per_sample * B)``. ``capacity`` of the accelerator, or None.
    ``after_steps`` and ``nodes_after_steps``: bytes and nodes of graphs that are held after each of a few steps of one
    size. ``out_of_memory`` is the size that did not fit, or None. What cannot be measured is left out.
    """
    with seeded(seed, task.device):
        job = task.job(params)
        meter = _Accelerator(task.device) if task.device.type == "cuda" else _Saved(job)
        found = _Measured(task, job, meter, params.batch_size)
        found.run()
        left = {} if found.failed else left_after_steps(task, job, found.batch_of(params.batch_size))
    return {
        "memory": {
            "batch_size": params.batch_size,
            "measured": {str(size): max(value, found.step) for size, value in found.passes.items()},
            "step": found.step,
            "capacity": meter.capacity,
            "out_of_memory": found.failed,
            **left,
            **_fitted(found.passes),
        }
    }


class _Measured:
    """Peaks of the forward and backward pass by batch size, and that of the optimizer's step."""

    def __init__(self, task: PyTorchTask, job: Job, meter: _Meter, batch_size: int) -> None:
        self._task, self._job, self._meter = task, job, meter
        self._samples = task.data.train.batch(torch.arange(min(batch_size, len(task.data.train))))
        self._size = batch_size
        self.passes: dict[int, int] = {}
        self._saved: dict[int, int] = {}
        self.step = 0
        self.failed: int | None = None

    def run(self) -> None:
        """A quarter, a half and the whole; batch norm wants two samples at least. Then twice as many, and so on."""
        started, size = time.perf_counter(), self._size
        for part in sorted({max(min(2, size), size // part) for part in (4, 2, 1)}):
            self._measure(part)
        for _ in range(DOUBLINGS):
            size *= 2
            if self.failed or self._is_settled() or time.perf_counter() - started > LIMIT_S or not self._fits(size):
                return
            self._measure(size)

    def batch_of(self, size: int) -> Batch:
        """So many samples, the same ones again where there are not enough."""
        held = len(next(iter(self._samples.values())))
        numbers = torch.arange(size) % held
        return {
            name: value[numbers.to(value.device)] if len(value) == held else value
            for name, value in self._samples.items()
        }

    def _measure(self, size: int) -> None:
        batch = self.batch_of(size)
        try:
            take_step(self._job, self._task, batch)  # allocates what is kept between steps
            self._job.optimizer.zero_grad(set_to_none=True)
            with self._meter.watching():
                loss = weighted_loss(self._job, self._task, batch)
                wait_for(self._task.device)
                saved = self._meter.held
                loss.backward()
                wait_for(self._task.device)
                peak = self._meter.peak
            with self._meter.watching():
                self._job.optimizer.step()
                wait_for(self._task.device)
                self.step = max(self.step, self._meter.peak)
            self.passes[size], self._saved[size] = peak, saved
        except torch.OutOfMemoryError:
            self.failed = size

    def _is_settled(self) -> bool:
        """Whether the last three sizes lie on a line, and one that rises as what the forward pass saves does.

        At small sizes the peak is at the end of the backward pass, when gradients are there and activations are gone.
        """
        if len(self.passes) < 3:
            return len(self.passes) < 2  # a batch of one sample is all that is asked for
        before, after = _slopes(self.passes)
        return after >= (1 - AGREE) * _slopes(self._saved)[-1] and 0 <= after - before <= AGREE * after

    def _fits(self, size: int) -> bool:
        line, capacity = _fitted(self.passes), self._meter.capacity
        # Peaks grow faster than the line through the last two says, until they lie on it.
        return not line or capacity is None or 2 * line["per_sample"] * size + line["fixed"] < ROOM * capacity


def _slopes(values: dict[int, int]) -> tuple[float, float]:
    """Bytes per sample between the last three sizes."""
    a, b, c = sorted(values)[-3:]
    return (values[b] - values[a]) / (b - a), (values[c] - values[b]) / (c - b)


def _fitted(passes: dict[int, int]) -> dict[str, float]:
    """``fixed`` and ``per_sample`` of the line through the two largest sizes; nothing from one."""
    if len(passes) < 2:
        return {}
    small, large = sorted(passes)[-2:]
    per_sample = (passes[large] - passes[small]) / (large - small)
    return {"fixed": passes[large] - per_sample * large, "per_sample": per_sample}


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
            kept = _Held(tensor.detach())  # a result that its own graph holds would never be let go
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
