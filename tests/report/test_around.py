from __future__ import annotations

import math

from preflight.advise.recommendation import CHANGE, Near, Recommendation
from preflight.core.params import Params
from preflight.report.around import around_text

TODAY = Params(lr=0.1, batch_size=8)


def said(*around: Near) -> str:
    return around_text(Recommendation(CHANGE, "", TODAY, TODAY.with_values({"lr": 0.0066}), around=around))


def test_each_rate_is_said_beside_the_best_of_them() -> None:
    text = said(Near(0.0037, 0.104, 0.2), Near(0.0066, 0.1, 0.2), Near(0.012, 0.15, math.inf))
    assert text == "learning rates around 0.0066: 0.0037 +4%, 0.0066 best, 0.012 +50% (a run at 0.012 was lost)"


def test_scores_below_zero_have_no_share() -> None:
    assert said(Near(0.003, -1.5, 0.0), Near(0.01, -2.0, 0.0)).endswith("0.003 -1.5, 0.01 best")
