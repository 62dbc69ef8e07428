"""How many processes train, and how many hold the data."""

from __future__ import annotations

import os

import torch

# Each loads the data; beyond so many, starting them takes longer than the trials of a quick budget.
MAX_WORKERS = 8


def worker_count(workers: int | None, device: torch.device) -> int:
    """``workers``, or one per core on the CPU."""
    return workers or (_cores() if device.type == "cpu" else 1)


def process_count(workers: int | None, device: torch.device) -> int:
    """The workers, and beside them the process that asks them; one alone trains by itself."""
    count = worker_count(workers, device)
    return 1 if count == 1 else count + 1


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_WORKERS)
