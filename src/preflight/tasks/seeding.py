"""Random state and algorithms for a trial, and the caller's own put back afterwards."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

CPU = torch.device("cpu")
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@dataclass(frozen=True, eq=False)
class RandomState:
    """Of Python, NumPy and torch, at some time."""

    python: tuple[Any, ...]
    legacy: Any
    generators: tuple[tuple[torch.Generator, Tensor], ...]

    @classmethod
    def now(cls, device: torch.device = CPU) -> RandomState:
        """As it is; of the accelerators only that of ``device``."""
        generators = (torch.default_generator, *_accelerator_generators(device))
        states = tuple((generator, generator.get_state()) for generator in generators)
        return cls(random.getstate(), np.random.get_state(), states)

    def is_now(self) -> bool:
        """Whether nothing was drawn since, or all of it put back."""
        now = np.random.get_state()
        return (
            all(torch.equal(generator.get_state(), state) for generator, state in self.generators)
            and self.python == random.getstate()
            and len(now) == len(self.legacy)
            and all(np.array_equal(one, other) for one, other in zip(now, self.legacy, strict=True))
        )

    def put_back(self) -> None:
        """Make it what it was."""
        random.setstate(self.python)
        np.random.set_state(self.legacy)
        for generator, state in self.generators:
            generator.set_state(state)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed Python, NumPy and torch inside the block, and off the CPU ask for deterministic algorithms.

    Leaves all of them as they were. Of the accelerators only ``device`` is seeded.
    """
    before = RandomState.now(device)
    with ExitStack() as stack:
        if device.type != "cpu":
            stack.enter_context(deterministic_algorithms())
        try:
            random.seed(seed)
            np.random.seed(seed % 2**32)
            # Not torch.manual_seed, which seeds every accelerator there is.
            for generator, _ in before.generators:
                generator.manual_seed(seed)
            yield
        finally:
            before.put_back()


def _accelerator_generators(device: torch.device) -> list[torch.Generator]:
    """The default generator of an accelerator; none on the CPU."""
    if device.type == "cpu":
        return []
    torch.empty(0, device=device)  # generators exist once the device was used
    if device.type == "mps":
        return [torch.mps._get_default_mps_generator()]
    module = torch.get_device_module(device)
    index = module.current_device() if device.index is None else device.index
    return [module.default_generators[index]]


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """Ask torch for the deterministic variant of every operation that has one; it warns of those that have none."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    workspace = os.environ.get(CUBLAS)
    os.environ.setdefault(CUBLAS, ":4096:8")  # read at the first matrix product on CUDA, which warns without it
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        if workspace is None:
            os.environ.pop(CUBLAS, None)
