"""Recorded rows on the host: plain arrays, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from preflight.telemetry.geometry import GEOMETRY

Array = npt.NDArray[np.float64]

COLUMNS = ("losses", "norms", "deltas", "heads", "lrs", "weights", "geometry")


@dataclass(frozen=True)
class Layout:
    """Names of the columns: P parameters with component, size and the L2 norm they began with, C losses."""

    parameters: tuple[str, ...]
    components: tuple[str, ...]
    sizes: tuple[int, ...]
    losses: tuple[str, ...]
    first_weight_norms: tuple[float, ...] = ()

    def component_names(self) -> tuple[str, ...]:
        """Components in the order of their first parameter."""
        return tuple(dict.fromkeys(self.components))

    def by_component(self, values: Array) -> dict[str, Array]:
        """Per-parameter L2 norms ``values[T, P]`` -> one L2 norm ``[T]`` per component; all-NaN rows stay NaN."""
        owners = np.array(self.components)
        return {name: combine(values[:, owners == name]) for name in self.component_names()}


@dataclass(frozen=True)
class Chunk:
    """T consecutive steps from ``first_step``: losses ``[T, 1 + C]`` (total first), norms and deltas ``[T, P]``,
    head statistics ``[T, 4]``, learning rates ``[T, groups]``, weight norms after the step ``[T, P]``, geometry of the
    head's rows ``[T, 5]``. What was not sampled is NaN.
    """

    first_step: int
    losses: Array
    norms: Array
    deltas: Array
    heads: Array
    lrs: Array
    weights: Array = field(default_factory=lambda: np.empty(0))
    geometry: Array = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        for name, width in (("weights", self.norms.shape[1]), ("geometry", len(GEOMETRY))):
            if not getattr(self, name).size:
                object.__setattr__(self, name, np.full((len(self), width), np.nan))

    def __len__(self) -> int:
        return len(self.losses)


def combine(norms: Array) -> Array:
    """L2 norms of parts ``[T, P]`` -> L2 norm of the whole ``[T]``; parts without a gradient (NaN column) are left out.

    A NaN that is not a missing column must stay visible: a row with some NaN where the column has values is NaN.
    """
    missing = np.isnan(norms).all(axis=0)
    if norms.shape[1] == 0 or missing.all():
        return np.full(len(norms), np.nan)
    # float32 columns squared in float64: 1e38 squared still fits.
    squares: Array = np.square(norms[:, ~missing]).sum(axis=1)
    return np.sqrt(squares)


def concatenate(chunks: Sequence[Chunk], layout: Layout) -> Chunk:
    """Chunks in a row -> one chunk; no chunks give one without rows."""
    if not chunks:
        width = len(layout.parameters)
        empty = [np.empty((0, n)) for n in (len(layout.losses) + 1, width, width, 4, 1)]
        return Chunk(0, *empty)
    parts = (np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in COLUMNS)
    return Chunk(chunks[0].first_step, *parts)
