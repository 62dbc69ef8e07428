"""Moments, quantiles and tails of the values of a feature."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from preflight.probes.fields import MAX_UNIT_MEAN, MAX_UNIT_STD, MIN_UNIT_STD
from preflight.probes.kinds import classify
from preflight.tasks.data import spread

Array = npt.NDArray[np.float64]
QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
KIND_VALUES = 2**14
MIN_BEYOND, USUAL = 10, 0.95


def extremes(values: Array) -> dict[str, float]:
    """Least and largest finite one of ``values[N]``."""
    finite = values[np.isfinite(values)]
    return {"minimum": float(finite.min()), "maximum": float(finite.max())} if len(finite) else {}


def distribution(values: Array) -> dict[str, Any]:
    """Kind, moments, quantiles and counts of ``values[N]``, all of them finite."""
    mean, std = float(values.mean()), float(values.std())
    return {
        "values": classify(torch.from_numpy(values[spread(len(values), KIND_VALUES).numpy()])),
        "mean": mean,
        "std": std,
        "quantiles": {
            f"{q:g}": float(value) for q, value in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)
        },
        "deviation": float(np.abs(values - np.median(values)).mean()),
        "skew": float((((values - mean) / std) ** 3).mean()) if std > 0 else 0.0,
        "zeros": float((values == 0).mean()),
        "distinct": len(np.unique(values)),
        "normalized": abs(mean) <= MAX_UNIT_MEAN and MIN_UNIT_STD <= std <= MAX_UNIT_STD,
    }


def moments(values: Array) -> dict[str, float]:
    """Mean and deviation of ``values[N]``; empty without any."""
    return {"mean": float(values.mean()), "std": float(values.std())} if len(values) else {}


def rms(values: Array) -> float:
    """Root mean square of the finite ones of ``values[N]``."""
    return float(np.sqrt((values[np.isfinite(values)] ** 2).mean()))


def tail(values: Array) -> float:
    """Distance from the median that one value in a thousand lies beyond, over the mean distance of the nearest 95%.

    Of few values the tenth from either end: the extremes say little of a tail.
    """
    beyond = max(0.001, min(0.5, MIN_BEYOND / len(values)))
    low, middle, high = np.quantile(values, (beyond, 0.5, 1 - beyond))
    distances = np.sort(np.abs(values - middle))
    usual = float(distances[: max(1, int(USUAL * len(values)))].mean()) or float(distances.mean())
    return float(max(high - middle, middle - low) / usual) if usual > 0 else 0.0


def half(values: Array) -> float:
    """Narrowest interval that half of the values lie in, over their deviation; the median's own repetitions, such as
    the zeros of what is mostly absent, do not count.
    """
    ordered, std = np.sort(values[values != np.median(values)]), float(values.std())
    size = len(ordered) // 2
    return float((ordered[size:] - ordered[: len(ordered) - size]).min() / std) if size and std > 0 else 0.0
