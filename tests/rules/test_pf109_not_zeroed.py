from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.finding import ERROR, Clean, Finding, NotApplicable
from preflight.rules.pf109_not_zeroed import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def test_gradients_that_are_still_there_are_found(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts={"loop": {"stale_gradients": True}}))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR


def test_gradients_that_are_zeroed_are_clean(recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts={"loop": {"stale_gradients": False}})) == Clean()


def test_norms_alone_do_not_tell(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(gradient_norms={"overall": np.arange(1.0, 100.0)}))
    assert answer == NotApplicable("no probe has looked at 'loop'")


@pytest.mark.parametrize("symptom", ["PF101", "PF108", "PF201"])
def test_a_run_that_diverges_by_it_is_no_matter_of_the_learning_rate(symptom: str) -> None:
    assert RULE.explains(symptom, is_same_place=False)
