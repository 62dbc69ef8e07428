from __future__ import annotations

from collections.abc import Callable

import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules.pf506_small_batch_norm import ENOUGH, RULE, SAMPLES
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


@pytest.mark.parametrize(("size", "severity"), [(1, ERROR), (2, ERROR), (4, WARNING), (7, WARNING)])
def test_statistics_of_a_few_samples_are_noise(recorded: Recorded, size: int, severity: str) -> None:
    answer = RULE.judge(recorded(Params(lr=0.1, batch_size=size), {"modes": {"has_batch_norm": True}}))
    assert isinstance(answer, Finding)
    assert answer.severity == severity
    assert answer.remedies[0].settings == {"batch_size": ENOUGH, "lr": pytest.approx(0.1 * ENOUGH / size, rel=0.01)}
    assert answer.strength == SAMPLES.value / size


@pytest.mark.parametrize(("size", "norm"), [(8, True), (256, True), (1, False), (4, False)])
def test_enough_samples_or_no_batch_statistics_are_clean(recorded: Recorded, size: int, norm: bool) -> None:
    assert RULE.judge(recorded(Params(lr=0.1, batch_size=size), {"modes": {"has_batch_norm": norm}})) == Clean()


def test_the_model_and_the_batch_size_have_to_be_known(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(Params(lr=0.1, batch_size=2)))
    assert answer == NotApplicable("no probe has looked at 'modes'")
    answer = RULE.judge(recorded(facts={"modes": {"has_batch_norm": True}}))
    assert isinstance(answer, NotApplicable)
