"""Lengths that a scheduler was made with, as its attributes and closures hold them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.optim import lr_scheduler as torch_schedulers
from torch.optim.lr_scheduler import LRScheduler

from preflight.rules.pf206_scheduler_unit import CYCLE, DECAY, WARMUP
from preflight.tasks.schedules import Array

# Attributes of torch's schedulers, and what they are the length of.
KNOWN: Mapping[type[LRScheduler], tuple[str, str]] = {
    torch_schedulers.CosineAnnealingLR: ("T_max", DECAY),
    torch_schedulers.CosineAnnealingWarmRestarts: ("T_0", CYCLE),
    torch_schedulers.CyclicLR: ("total_size", CYCLE),
    torch_schedulers.MultiStepLR: ("milestones", DECAY),
    torch_schedulers.OneCycleLR: ("total_steps", DECAY),
    torch_schedulers.PolynomialLR: ("total_iters", DECAY),
}
# Its lengths are those of its parts, or it decays by a rate and has none.
WITHOUT = (torch_schedulers.ExponentialLR, torch_schedulers.StepLR, torch_schedulers.ReduceLROnPlateau)
COUNTERS = ("last_epoch", "_step_count", "T_cur")


@dataclass(frozen=True)
class Length:
    """A number of advances by the name it has in the scheduler; ``role`` is what it is the length of."""

    name: str
    value: int
    role: str


def lengths_of(scheduler: LRScheduler, lrs: Array) -> list[Length]:
    """Lengths of a scheduler and of its parts; ``lrs[A]`` are its rates after 0 to A advances.

    A number in a function or in a class of the user's own is a length only where the rates have a corner there.
    """
    parts = getattr(scheduler, "_schedulers", None)
    if isinstance(scheduler, torch_schedulers.SequentialLR | torch_schedulers.ChainedScheduler) and parts is not None:
        return [length for part in parts for length in lengths_of(part, lrs)]
    kind = type(scheduler)
    if isinstance(scheduler, torch_schedulers.LinearLR | torch_schedulers.ConstantLR):
        start = getattr(scheduler, "start_factor", getattr(scheduler, "factor", 1.0))
        role = WARMUP if start < getattr(scheduler, "end_factor", 1.0) else DECAY
        return [Length(f"{kind.__name__}.total_iters", int(scheduler.total_iters), role)]
    for known, (attribute, role) in KNOWN.items():
        if isinstance(scheduler, known):
            value = getattr(scheduler, attribute)
            last = max(value) if attribute == "milestones" else round(value)
            return [Length(f"{known.__name__}.{attribute}", last, role)]
    if isinstance(scheduler, WITHOUT):
        return []
    found = {name: value for name, value in _numbers(scheduler) if _has_corner(lrs, value)}
    return [Length(f"{kind.__name__}.{name}", value, _role(lrs, value)) for name, value in found.items()]


def numbers_of(scheduler: LRScheduler) -> set[int]:
    """Whole numbers that a scheduler and its parts hold, any of which may be a length."""
    parts = getattr(scheduler, "_schedulers", ())
    return {value for _, value in _numbers(scheduler)}.union(*(numbers_of(part) for part in parts))


def _numbers(scheduler: LRScheduler) -> Iterator[tuple[str, int]]:
    """Whole numbers in the attributes of a scheduler and in what its functions close over."""
    values = {name: value for name, value in vars(scheduler).items() if name not in COUNTERS}
    for function in values.get("lr_lambdas", ()):
        values |= _closed_over(function)
    for name, value in values.items():
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            yield name, value


def _closed_over(function: Any) -> dict[str, Any]:
    if isinstance(function, functools.partial):
        return {**_closed_over(function.func), **function.keywords}
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is None:
        return dict(getattr(function, "__dict__", {}))
    contents = {}
    for name, cell in zip(code.co_freevars, cells or (), strict=True):
        try:
            contents[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    return contents


def _has_corner(lrs: Array, place: int) -> bool:
    """Whether the slope of ``lrs[A]`` turns or changes by half at ``place``."""
    reach = max(1, place // 10)
    if place + reach >= len(lrs):
        return False
    scale = 1e-9 * float(np.abs(lrs).max())
    before, after = lrs[place] - lrs[place - reach], lrs[place + reach] - lrs[place]
    largest = max(abs(before), abs(after))
    return bool(largest > scale and abs(after - before) > largest / 2)


def _role(lrs: Array, place: int) -> str:
    return WARMUP if lrs[place] > lrs[0] and lrs[place] >= 0.99 * lrs[: place + 1].max() else DECAY
