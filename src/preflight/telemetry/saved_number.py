"""Numbers that a training saved or printed: infinity for what was not finite, NaN for what was not recorded."""

from __future__ import annotations

import math

from preflight.telemetry.numbers import ABSENT, parse_number


def told(value: float) -> float:
    """A value that was saved as a number; a NaN is one that was not finite."""
    return math.inf if math.isnan(value) else value


def saved_number(text: str) -> float | None:
    """Value of a text, NaN for one that is empty or spelled so; None where it is no number."""
    if text.strip().strip("\"'").lower() in ABSENT:
        return math.nan
    value = parse_number(text)
    return None if value is None else told(value)
