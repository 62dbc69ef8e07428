"""How far a run has come: its losses, and how far its weights have moved."""

from __future__ import annotations

import numpy as np

from preflight.core.errors import MissingError
from preflight.rules.base import Threshold
from preflight.rules.predicates import Array
from preflight.telemetry.recording import Recording

FITTED = Threshold(
    "FITTED",
    0.01,
    "of its first value is a loss with nothing left to learn",
    "margin losses have no gradient where every sample is beyond the margin",
)
# Fewer steps have no end that could be told from their beginning.
MIN_STEPS = 20


def late_loss(losses: Array) -> float:
    """Median of the last quarter of ``losses[T]``."""
    return float(np.median(losses[-max(1, len(losses) // 4) :]))


def late_noise(losses: Array) -> float:
    """Deviation of the last quarter of ``losses[T]``, by its median absolute deviation."""
    late = losses[-max(1, len(losses) // 4) :]
    return 1.4826 * float(np.median(np.abs(late - np.median(late))))


def is_fitted(recording: Recording) -> bool:
    """Whether the loss has come down to next to nothing; False where it was not recorded."""
    try:
        losses = recording.measured("losses", "total").values
    except MissingError:
        return False
    return bool(len(losses) and np.median(np.abs(losses[-MIN_STEPS:])) <= FITTED.value * abs(losses[0]))


def weight_norm(recording: Recording) -> float:
    """Norm of all trained weights before the first step; raises :class:`MissingError` where it is not recorded."""
    norm = float(np.linalg.norm(np.nan_to_num(recording.column("parameters", "first_weight_norm"))))
    if norm <= 0:
        raise MissingError("all trained weights are zero before the first step, so that no movement is large or small")
    return norm


def first_movement(recording: Recording) -> float:
    """Change of all weights over the first row of weight_deltas.csv, relative to their norm before it."""
    names = [name for name in recording.names("weight_deltas") if name.endswith("_delta")]
    first = [recording.column("weight_deltas", name)[:1] for name in names]
    if not first or not len(first[0]):
        raise MissingError("weight_deltas.csv has no row")
    return float(np.linalg.norm(np.concatenate(first))) / weight_norm(recording)


def movement(recording: Recording) -> float:
    """Way of all weights over the recorded run, relative to their norm before it: they end no farther away."""
    way = float(np.linalg.norm(np.nan_to_num(recording.column("parameters", "update_total"))))
    return way / weight_norm(recording)


def times_longer(recording: Recording, steps: int) -> float:
    """Length of the long run over the ``steps`` that were recorded, 1 where it is not known."""
    try:
        return max(1.0, float(recording.fact("schedule", "steps")) / steps)
    except MissingError:
        return 1.0
