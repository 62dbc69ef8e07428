"""What is said of a gain that was measured over two lengths."""

from __future__ import annotations

import pytest

from preflight.advise.evidence import Effect
from preflight.advise.recommendation import CHANGE, Recommendation
from preflight.core.params import Params
from preflight.report.lengths import lengths_text

TODAY = Params(lr=0.1, batch_size=8, normalization={}, loss_weights={})


def answer(short: Effect | None, long: Effect | None, steps: int = 1200) -> Recommendation:
    return Recommendation(CHANGE, "", TODAY, TODAY, gain=long, steps=steps, confirmed=short, confirm_steps=600)


def effect(gain: float, margin: float) -> Effect:
    return Effect(gain, gain - margin, gain + margin, 5)


@pytest.mark.parametrize(
    ("short", "long", "ending"),
    [
        (effect(0.5, 0.05), effect(0.3, 0.05), "over 1,200: it shrinks with the length of the run"),
        (effect(0.3, 0.05), effect(0.5, 0.05), "over 1,200: it grows with the length of the run"),
        (effect(0.5, 0.15), effect(0.3, 0.15), "over 1,200"),
    ],
)
def test_only_intervals_that_do_not_meet_tell_two_lengths_apart(short: Effect, long: Effect, ending: str) -> None:
    text = lengths_text(answer(short, long))
    assert text.startswith(f"the gain is {short.gain:.0%} (")
    assert text.endswith(ending)


def test_of_one_length_there_is_nothing_to_say() -> None:
    assert lengths_text(answer(effect(0.5, 0.1), effect(0.3, 0.1), steps=600)) == ""
    assert lengths_text(answer(None, None)) == ""
