"""A training program as data: what is trained, what is wrong with it, and which rule should say so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.plain_loop import Habits

TRAIN, HELD_OUT, ALL = "train", "held_out", "all"
HEALTHY = "healthy"
STEPS = 250

OPTIMIZERS: Mapping[str, Callable[..., Any]] = {
    "sgd": partial(torch.optim.SGD, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}


@dataclass(frozen=True)
class Training:
    """What `preflight.api.tune` is told. ``habits`` is the user's own loop, where the fault lies there."""

    factory: Callable[..., nn.Module]
    data: Callable[[], Any]
    losses: Mapping[str, Any]
    baseline: Mapping[str, Any]
    horizon_steps: int = STEPS
    metric: Mapping[str, Any] | None = None
    inputs: Sequence[str] = ()
    targets: Sequence[str] = ()
    components: Mapping[str, str] = field(default_factory=dict)
    head: str | None = None
    optimizer: Callable[..., Any] | None = None
    schedule: str | None = None
    scheduler: Callable[..., Any] | None = None
    scheduler_interval: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    lr_ratios: Mapping[str, float] = field(default_factory=dict)
    habits: Habits | None = None

    def but(self, **changes: Any) -> Training:
        """Copy with changes; what is no field of a training is one of today's settings."""
        own = {item.name for item in fields(self)}
        settings = {name: value for name, value in changes.items() if name not in own}
        rest = {name: value for name, value in changes.items() if name in own}
        return replace(self, **{"baseline": {**self.baseline, **settings}, **rest})

    def model(self) -> dict[str, Any]:
        """The `model` group of preflight's settings."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "habits"}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Program:
    """``expected`` are the codes that a right diagnosis may begin with, decided by the cause in ``fault`` and not by
    what the rules say. A healthy program has none, and no ``fault``; ``base`` is the grid that it is judged in.

    ``repaired_by`` is the program as it should have been.
    """

    name: str
    family: str
    base: str
    fault: str
    expected: tuple[str, ...]
    build: Callable[[], Training]
    repaired_by: Callable[[], Training] | None = None

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.expected

    @property
    def split(self) -> str:
        """`train` or `held_out`, by its name alone."""
        return HELD_OUT if _digest(self.name) % 2 else TRAIN

    def is_in(self, split: str) -> bool:
        """Whether it belongs to `train`, `held_out` or `all`."""
        return split in (ALL, self.split)

    def is_sampled(self, every: int) -> bool:
        """Whether it is one of the roughly 1 in ``every`` programs of a quick run."""
        return _digest(f"quick {self.name}") % every == 0


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@dataclass(frozen=True)
class Base:
    """A base task: ``task`` gives a training that works, ``variants`` others, ``rates`` of each optimizer some LRs."""

    name: str
    family: str
    task: Callable[..., Training]
    variants: Mapping[str, Mapping[str, Any]]
    rates: Mapping[str, Sequence[float]]

    def faulty(
        self,
        name: str,
        fault: str,
        expected: tuple[str, ...],
        build: Callable[[], Training],
        repaired_by: Callable[[], Training] | None = None,
    ) -> Program:
        """A mutant; it is repaired by the base task itself unless something else is given."""
        return Program(f"{self.name}/{name}", self.family, self.name, fault, expected, build, repaired_by or self.task)

    def healthy(self) -> tuple[Program, ...]:
        """The first variant with every optimizer and LR, the others with each optimizer's first LR."""
        found = []
        for index, (variant, options) in enumerate(self.variants.items()):
            for optimizer, rates in self.rates.items():
                for lr in rates if index == 0 else rates[:1]:
                    build = partial(self._variant, options, optimizer, lr)
                    name = f"{self.name}/{variant}-{optimizer}-{lr:g}"
                    found.append(Program(name, self.family, self.name, "", (), build))
        return tuple(found)

    def _variant(self, options: Mapping[str, Any], optimizer: str, lr: float) -> Training:
        return self.task(**options).but(optimizer=OPTIMIZERS[optimizer], lr=lr)
