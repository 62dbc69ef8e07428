from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf410_ignored import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def facts(initial: float, later: float, perturbed: float, zeroed: float = 1.0, **fields: float) -> dict[str, Any]:
    sensitivity = {"initial": initial, "later": later, "perturbed": perturbed}
    return {"inputs_used": {"steps": 30, "real": 1.0, "zeroed": zeroed, "sensitivity": sensitivity, "fields": fields}}


@pytest.mark.parametrize("known", [facts(0.0, 0.0, 0.0), facts(1e-8, 1e-8, 1e-8, 3.0), facts(0.0, 0.0, 0.9)])
def test_an_output_that_is_the_same_for_every_input_is_found(known: dict[str, Any], recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=known))
    assert isinstance(answer, Finding)
    assert answer.severity == ERROR


def test_it_is_said_which_weights_were_tried(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(0.0, 0.0, 0.0)))
    assert isinstance(answer, Finding)
    assert "before training, after 30 steps and with random numbers added to the weights" in answer.message


def test_a_field_that_is_not_used_is_named(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(0.5, 0.5, 0.5, a=0.5, b=0.0)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "b")


@pytest.mark.parametrize(
    "known",
    [
        facts(0.5, 0.5, 0.5, a=0.5),
        facts(0.0, 0.01, 0.9),  # a head that starts at zero
        facts(1e-4, 1e-4, 0.1),  # a small signal on a large offset
        facts(0.0, 0.0, 0.9, zeroed=1.5),  # the inputs made a difference
    ],
)
def test_an_output_that_uses_its_input_is_clean(known: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=known)) == Clean()


@pytest.mark.parametrize(
    ("known", "score", "is_found"),
    [
        (facts(1e-4, 4e-3, 4e-4), 0.95, True),
        (facts(1e-4, 4e-3, 4e-4), 0.5, False),  # the run has learned
        (facts(1e-4, 4e-3, 4e-4, zeroed=1.1), 0.95, False),  # the inputs made a difference
        (facts(1e-4, 4e-3, 0.3), 0.95, False),  # other weights use the input: a head that starts small
    ],
)
def test_a_signal_that_a_bias_drowns_is_found(
    known: dict[str, Any], score: float, is_found: bool, recorded: Recorded
) -> None:
    answer = RULE.judge(recorded(facts=known, info={"score": score}))
    assert isinstance(answer, Finding) == is_found
    if isinstance(answer, Finding):
        assert answer.severity == WARNING
        assert "hardly depends" in answer.message


def test_what_was_not_measured_is_said(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'inputs_used'")
    answer = RULE.judge(recorded(facts={"inputs_used": {"sensitivity": {"initial": None}}}))
    assert answer == NotApplicable("how the output depends on the input was not measured")


@pytest.mark.parametrize(
    ("loss", "is_found"),
    [
        ({"target": "box", "constant": 0.5, "initial": 0.5}, True),
        ({"target": None, "constant": 0.5, "initial": 0.5}, False),
        ({"target": "box", "constant": 0.0, "initial": 0.5}, False),  # a penalty, which a constant satisfies
    ],
)
def test_a_head_that_ignores_its_input_is_named_where_it_has_something_to_fit(
    loss: dict[str, Any], is_found: bool, recorded: Recorded
) -> None:
    known = facts(0.5, 0.5, 0.5, a=0.5)
    known["inputs_used"]["losses"] = {"class": 0.5, "box": 0.0}
    answer = RULE.judge(recorded(facts={**known, "losses": {"box": loss}}))
    assert isinstance(answer, Finding) is is_found
    if isinstance(answer, Finding):
        assert (answer.severity, answer.where) == (WARNING, "box")
