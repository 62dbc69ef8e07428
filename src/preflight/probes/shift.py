"""Does the validation split hold what the training split holds?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from preflight.tasks.data import Data, InMemory, spread

Array = npt.NDArray[np.float64]
# Of a distance between two splits of the same distribution beyond the noise that is reported.
CHANCE = 1e-4
DRAWS = 200
MAX_VALUES = 2**16


def feature_shift(train: Array, validation: Array, samples: int, validation_samples: int) -> dict[str, float]:
    """Kolmogorov-Smirnov distance of a feature's values between the splits, and how far chance takes it.

    The values of a sample may all be alike: what counts for chance are samples (bound of Dvoretzky, Kiefer and
    Wolfowitz with Massart's constant).
    """
    first, second = (np.sort(values[spread(len(values), MAX_VALUES).numpy()]) for values in (train, validation))
    places = np.concatenate([first, second])
    below = (np.searchsorted(side, places, side="right") / len(side) for side in (first, second))
    distance = float(np.abs(np.subtract(*below)).max())
    noise = math.sqrt(math.log(2 / CHANCE) / 2 * (1 / samples + 1 / validation_samples))
    return {"shift": distance, "shift_noise": noise}


def label_shift(data: Data, name: str, train: Tensor, validation: Tensor) -> dict[str, Any]:
    """Classes of a target, the total variation distance of their frequencies, its chance level, and the share of the
    validation labels that no training sample has (left out where not all training labels could be looked at).
    """
    here, there = train.flatten().numpy(), validation.flatten().numpy()
    classes, places = np.unique(np.concatenate([here, there]), return_inverse=True)
    counts = [np.bincount(part, minlength=len(classes)) for part in (places[: len(here)], places[len(here) :])]
    facts: dict[str, Any] = {
        "classes": len(np.unique(here)),
        "shift": _distance(counts[0], counts[1]),
        "shift_noise": _chance_distance(counts[0] + counts[1], len(train), len(validation)),
    }
    known = data.train.tensors[name].unique().cpu().numpy() if isinstance(data.train, InMemory) else None
    if known is None and len(train) == len(data.train):
        known = np.unique(here)
    return facts if known is None else {**facts, "unseen": float((~np.isin(there, known)).mean())}


def _distance(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    return float(np.abs(first / first.sum() - second / second.sum()).sum() / 2)


def _chance_distance(counts: npt.NDArray[Any], size: int, validation_size: int) -> float:
    """Largest distance in many draws of both splits from the same frequencies."""
    draw, frequencies = np.random.default_rng(0), counts / counts.sum()
    pairs = zip(
        draw.multinomial(size, frequencies, DRAWS), draw.multinomial(validation_size, frequencies, DRAWS), strict=True
    )
    return max(_distance(first, second) for first, second in pairs)
