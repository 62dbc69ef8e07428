"""Whether a gain goes with the length of the run, in words."""

from __future__ import annotations

from preflight.advise.evidence import Effect, percent
from preflight.advise.recommendation import Recommendation
from preflight.report import format as fmt


def lengths_text(answer: Recommendation) -> str:
    """``the gain is 57% (51% to 62%) over 600 steps and 43% (41% to 44%) over 1,200: it shrinks with ...``.

    Empty where both were measured over as many steps. The first is of the seeds that chose the settings, which flatters
    it: only intervals that do not meet tell the lengths apart.
    """
    if answer.confirmed is None or answer.gain is None or answer.steps == answer.confirm_steps:
        return ""
    short, long = answer.confirmed, answer.gain
    text = (
        f"the gain is {_gain(short)} over {fmt.whole(answer.confirm_steps)} steps "
        f"and {_gain(long)} over {fmt.whole(answer.steps)}"
    )
    if short.low > long.high:
        return f"{text}: it shrinks with the length of the run"
    return f"{text}: it grows with the length of the run" if long.low > short.high else text


def _gain(effect: Effect) -> str:
    return f"{percent(effect.gain)} ({effect.interval})"
