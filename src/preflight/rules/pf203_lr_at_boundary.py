"""PF203: the best learning rate lies on the boundary of the range that was searched."""

from __future__ import annotations

import math

from preflight.core.finding import NOTE, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.telemetry.recording import Recording

EDGE = Threshold(
    "EDGE", 0.02, "of the range on a log scale is on its boundary", "of rates drawn at random, 2% lie on either one"
)


def place_in(low: float, high: float, best: float) -> float:
    """Place of ``best`` between ``low`` (0) and ``high`` (1), on a log scale."""
    return math.log(best / low) / math.log(high / low)


def check(recording: Recording) -> Answer:
    """Judge the search: fact ``search.lr`` ``{low, high, best}``."""
    found = recording.fact("search", "lr")
    low, high, best = float(found["low"]), float(found["high"]), float(found["best"])
    if not 0 < low < high or not low <= best <= high:
        return Clean()  # one rate alone, or the best was today's and outside
    place = place_in(low, high, best)
    if EDGE.value < place < 1 - EDGE.value:
        return Clean()
    side, wider = ("low", low / 10) if place <= EDGE.value else ("high", high * 10)
    return Finding(
        NOTE,
        f"the best lr={best:.3g} lies on the {side} end of the range searched, {low:.3g} to {high:.3g}: a better one "
        "may "
        "lie beyond",
        (Evidence("distance to the end over the range, log scale", min(place, 1 - place), EDGE.value),),
        (Remedy(f"search on: space.lr.{side}={wider:.1e}"),),
        where=f"space.lr.{side}",
    )


RULE = Rule(
    code="PF203",
    name="lr-at-boundary",
    title="The best learning rate lies on the boundary",
    detects="The learning rate of the best trial lies within EDGE of an end of the range that was searched.",
    matters="The search was cut off there: what lies beyond was never tried, and may be better.",
    fix="Widen the range on that side and search again. A rate at the low end of a long ladder may also say that the "
    "inputs are raw (PF301).",
    check=check,
    thresholds=(EDGE,),
)
