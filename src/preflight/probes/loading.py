"""Waiting for data and computing, measured apart, and what a larger batch could gain at most."""

from __future__ import annotations

import math
import os
import time
from statistics import median
from typing import Any

import torch

from preflight.core.params import Params
from preflight.core.units import RunLength
from preflight.probes.training_step import take_step, wait_for
from preflight.tasks.data import Source, uncached
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

BATCHES = 12
REPEATS = 3
# No batch is begun after so many seconds, once there are a few.
LIMIT_S, FEWEST = 2.0, 3


def look_at_loading(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """``{"loading": {...}}``: seconds of a few training steps on batches of the user's own data.

    ``batch_size``, ``batches`` and ``epoch_batches``, those timed and those of an epoch; ``wait_s`` and ``compute_s``,
    medians per batch of fetching it in this process and of training on it; ``fetch_cpu_s``, what of fetching keeps a
    core busy, and ``cores``, how many there are; ``steps_s``, fetching and training, by batch; ``per_sample_s`` and
    ``fixed_s`` of fetching, from two batch sizes; ``gain_bound``, by how much larger batches can raise the samples per
    second at most, as a share, or None where fetching has no measurable cost per sample; ``workers`` of the long run's
    loader, or None without one.

    Of ``steps_s`` the first step is left out: it allocates what the next ones use again.
    """
    with seeded(seed, task.device):
        job, batches = task.job(params), task.batches(params, seed, fresh=True)
        take_step(job, task, next(batches))
        waits: list[float] = []
        busy: list[float] = []
        computes: list[float] = []
        started = time.perf_counter()
        while len(waits) < BATCHES and (len(waits) < FEWEST or time.perf_counter() - started < LIMIT_S):
            wait_for(task.device)
            begin, begin_cpu = time.perf_counter(), time.process_time()
            batch = next(batches)
            busy.append(time.process_time() - begin_cpu)
            wait_for(task.device)
            fetched = time.perf_counter()
            take_step(job, task, batch)
            wait_for(task.device)
            waits.append(fetched - begin)
            computes.append(time.perf_counter() - fetched)
        per_sample, fixed = _cost_of_fetching(uncached(task.data.train), params.batch_size, median(waits))
    wait, compute = median(waits), median(computes)
    return {
        "loading": {
            "batch_size": params.batch_size,
            "batches": len(waits),
            "epoch_batches": math.ceil(len(task.data.train) / params.batch_size),
            "wait_s": wait,
            "compute_s": compute,
            "fetch_cpu_s": median(busy),
            "cores": _cores(),
            "steps_s": [a + b for a, b in zip(waits, computes, strict=True)],
            "per_sample_s": per_sample,
            "fixed_s": fixed,
            "gain_bound": bound_on_gain(wait, compute, params.batch_size, per_sample),
            "workers": params.num_workers,
        }
    }


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bound_on_gain(wait_s: float, compute_s: float, batch_size: int, per_sample_s: float) -> float | None:
    """Samples per second that any larger batch can add, as a share, even if computing cost nothing.

    A step cannot be shorter than its samples take to fetch: ``(wait + compute) / (batch * per_sample) - 1``, and none
    where the clock's noise makes that negative.
    """
    return max(0.0, (wait_s + compute_s) / (batch_size * per_sample_s) - 1) if per_sample_s > 0 else None


def look_at_logging(task: PyTorchTask, length: RunLength) -> dict[str, Any]:
    """``{"logging": {"interval_steps", "horizon_steps"}}`` where the task says how often the long run logs."""
    interval = task.settings.log_every_steps
    if interval is None:
        return {}
    return {"logging": {"interval_steps": interval, "horizon_steps": length.horizon_steps}}


def _cost_of_fetching(source: Source, batch_size: int, wait_s: float) -> tuple[float, float]:
    """Seconds per sample and per batch, from whole and half batches of samples that come in no order."""
    half = batch_size // 2
    if half < 1:
        return wait_s, 0.0
    whole_s, half_s = (_fetching(source, size, wait_s) for size in (batch_size, half))
    # Nor can all its samples take longer than the batch does.
    per_sample = min(max(0.0, (whole_s - half_s) / (batch_size - half)), min(whole_s, wait_s) / batch_size)
    return per_sample, max(0.0, whole_s - batch_size * per_sample)


def _fetching(source: Source, size: int, wait_s: float) -> float:
    repeats = REPEATS if wait_s * REPEATS < LIMIT_S else 1
    return median(_seconds(source, size) for _ in range(repeats))


def _seconds(source: Source, size: int) -> float:
    numbers = torch.randperm(len(source))[:size]
    begin = time.perf_counter()
    source.batch(numbers)
    return time.perf_counter() - begin
