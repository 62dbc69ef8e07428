"""Was an input normalized twice? Asked by PF309, and by PF301 so that it keeps silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preflight.rules.base import Threshold
from preflight.rules.fields import Field

SHRUNK = Threshold(
    "SHRUNK",
    0.1,
    "of its own deviation is left of every feature of an input that was normalized when it came",
    "an input of deviation 1 needs no division by more than 10",
)
BYTE = 255.0
# Of the largest value of pixels that were divided by 255 twice.
TOLERANCE = 0.02
WIDE = 16
MAX_MEAN, MIN_STD, MAX_STD = 1.0, 0.1, 3.0


def is_shrunk(field: Field) -> bool:
    """Whether today's normalizer makes an input small that had an ordinary scale."""
    if field.option == "none" or not field.amounts or field.reach.get("norm_after"):
        return False
    return all(_is_ordinary(item) and item["fed"]["std"] < SHRUNK.value * item["std"] for item in field.amounts)


def is_scaled_twice(field: Field) -> bool:
    """Whether an image, or a wide field, holds nothing beyond 1/255: bytes that were divided twice."""
    if field.reach.get("norm_after") or not field.amounts or field.option != "none":
        return False
    is_image = all(item["kind"] == "image" for item in field.features) or field.facts["width"] >= WIDE
    largest = max(item.get("maximum", 0.0) for item in field.features)
    smallest = min(item.get("minimum", 0.0) for item in field.features)
    is_left_so = field.reach.get("largest", 0.0) <= 1 / BYTE
    return bool(is_image and smallest >= 0 and is_left_so and abs(largest * BYTE - 1) <= TOLERANCE)


def is_normalized_twice(field: Field) -> bool:
    """Either of both."""
    return is_shrunk(field) or is_scaled_twice(field)


def _is_ordinary(feature: Mapping[str, Any]) -> bool:
    """Whether a feature comes at a scale that needs no normalizer: about -3 to 3, or 0 to 1."""
    return bool(abs(feature["mean"]) <= MAX_MEAN and MIN_STD <= feature["std"] <= MAX_STD)
