"""Numbers as the report writes them."""

from __future__ import annotations

import math
import re

from preflight.advise import evidence
from preflight.advise.evidence import CONFIDENCE, Effect
from preflight.core.params import ParamValue

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
ARROW = "\N{RIGHTWARDS ARROW}"
INFINITE = "\N{INFINITY}"

# What the absence of a setting means.
_ABSENT = {"clip_norm": "no clipping", "weight_decay": "optimizer's default"}


def number(value: float | None, digits: int = 3) -> str:
    """``digits`` significant digits; a dash for NaN."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return INFINITE if value > 0 else MINUS + INFINITE
    if max(1000, 10 ** (digits - 1)) <= abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", MINUS)
    text = f"{value:#.{digits}g}".rstrip(".") if value else "0"
    return _short_exponent(text).replace("-", MINUS)


def statistic(value: float) -> str:
    """A whole number as it is, any other to four significant digits."""
    is_whole = math.isfinite(value) and value == round(value) and abs(value) < 1e9
    return whole(int(value)) if is_whole else number(value, 4)


def whole(value: int) -> str:
    """With thousands separators."""
    return f"{value:,}".replace("-", MINUS)


def percent(share: float) -> str:
    """0.98 -> 98%, rounded as on the terminal."""
    return f"{_points(share)}%" if math.isfinite(share) else MISSING


def interval(effect: Effect) -> str:
    """``98 to 99%``, or that it is unknown."""
    if not math.isfinite(effect.low) or not math.isfinite(effect.high):
        return "interval unknown"
    return f"{_points(effect.low)} to {_points(effect.high)}%"


def confidence() -> str:
    """Confidence of every interval in the report."""
    return f"{CONFIDENCE:.0%}"


def setting(name: str, value: ParamValue) -> str:
    """A setting's value as one would type it."""
    if value is None:
        return _ABSENT.get(name, "none")
    if isinstance(value, bool):
        return str(value).lower()
    if name == "warmup_fraction":
        return f"{100 * float(value):.3g}% of the run"
    return plain(value) if isinstance(value, float) else str(value)


def plain(value: float) -> str:
    """Shortest form, with ASCII signs so that it can be copied: 0.0074, 1e-5."""
    return _short_exponent(f"{value:.6g}")


def tick(value: float) -> str:
    """A label of a logarithmic axis: short at both ends."""
    return _short_exponent(f"{value:.0e}" if abs(value) >= 1e5 else f"{value:.6g}").replace("-", MINUS)


def seconds(value: float) -> str:
    """``34 s``, ``12 min``, ``3.4 h``."""
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def count(amount: int, one: str, many: str = "") -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{whole(amount)} {one if amount == 1 else many or one + 's'}"


def _points(share: float) -> str:
    text = evidence.percent(share).removesuffix("%")
    return "0" if text == "-0" else text.replace("-", MINUS)


def _short_exponent(text: str) -> str:
    """``1e-05`` -> ``1e-5``."""
    return re.sub(r"e([+-])0*(\d)", lambda found: f"e{found[1].replace('+', '')}{found[2]}", text)
