from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import Clean, Finding, NotApplicable
from preflight.rules.pf408_softmax import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def facts(**known: Any) -> dict[str, Any]:
    return {"losses": {"a": {"output_shape": [10], "chance": 2.3, "output_min": -1.0, "output_max": 1.0, **known}}}


ROWS = {"rows_sum_to_one": True}
FAULTS = {
    "over one unit": facts(kind="fit", activation="softmax", softmax_units=1),
    "over the samples of a batch": facts(
        kind="cross_entropy", activation="softmax", columns_sum_to_one=True, softmax_units=32
    ),
    "takes log-probabilities": facts(kind="nll"),
    "the log-softmax before 'a' runs over the samples": facts(kind="nll", columns_are_log_probabilities=True),
    "the softmax before": facts(kind="cross_entropy", activation="softmax", floor=1.46, **ROWS),
    "the sigmoid before": facts(kind="cross_entropy", activation="sigmoid", floor=1.46),
    "on top of the sigmoid": facts(kind="bce_logits", activation="sigmoid", floor=0.5),
    "on top of the softmax": facts(kind="cross_entropy", **ROWS),
}


@pytest.mark.parametrize(("text", "known"), FAULTS.items(), ids=FAULTS)
def test_a_misused_softmax_is_found(text: str, known: dict[str, Any], recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=known))
    assert isinstance(answer, Finding)
    assert text in answer.message


@pytest.mark.parametrize(
    "known",
    [
        facts(kind="cross_entropy"),
        facts(kind="nll", activation="log_softmax", rows_are_log_probabilities=True, softmax_units=10),
        facts(
            kind="nll", rows_are_log_probabilities=True, columns_are_log_probabilities=True
        ),  # of two classes and rows
        facts(kind="cross_entropy", activation="log_softmax", floor=0.0, softmax_units=10),  # changes nothing
        facts(kind="fit", activation="sigmoid", floor=0.0),
        facts(kind="fit", activation="softmax", softmax_units=10, **ROWS),
        facts(kind="cross_entropy", activation="sigmoid", floor=0.01),  # with a temperature
        facts(kind=None, activation="softmax", softmax_units=10, **ROWS),
    ],
)
def test_a_softmax_in_its_place_is_clean(known: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=known)) == Clean()


def test_what_was_not_measured_is_said(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts={"losses": {"a": {"initial": 1.0}}}))
    assert answer == NotApplicable("what the losses receive was not measured")
