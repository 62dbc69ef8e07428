from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf407_range import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
RANGES = {"relu": (0.0, math.inf), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "log_softmax": (-math.inf, 0.0)}


def facts(kind: str, activation: str | None, floor: float, outside: float = 0.0) -> dict[str, Any]:
    known = {"output_shape": [1], "kind": kind, "constant": 1.0, "target_min": -3.0, "target_max": 3.0}
    if activation is not None:
        low, high = RANGES[activation]
        known |= {"activation": activation, "low": low, "high": high, "floor": floor, "target_outside": outside}
    return {"losses": {"a": known}}


@pytest.mark.parametrize(
    ("known", "severity"),
    [
        (facts("fit", "relu", 0.5, 0.5), ERROR),
        (facts("fit", "sigmoid", 90.0, 1.0), ERROR),
        (facts("fit", "tanh", 0.15, 0.3), ERROR),
        (facts("bce_logits", "relu", 0.4), ERROR),
        (facts("cross_entropy", "tanh", 0.8), ERROR),
        (facts("cross_entropy", "relu", 0.0), WARNING),
    ],
)
def test_a_head_that_cannot_reach_is_found(known: dict[str, Any], severity: str, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=known))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (severity, "a")


@pytest.mark.parametrize(
    ("outside", "told"), [(1.0, "100%"), (0.996, "99.6%"), (0.9999, "99.99%"), (0.9999999, "nearly 100%"), (0.5, "50%")]
)
def test_nearly_all_targets_are_not_said_to_be_all(outside: float, told: str, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts("fit", "relu", 0.5, outside)))
    assert isinstance(answer, Finding)
    assert f"ends in relu, which gives 0 to inf, and {told} of the targets" in answer.message


@pytest.mark.parametrize(
    "known",
    [
        facts("fit", None, 0.0),
        facts("fit", "relu", 0.0, 0.0),  # counts
        facts("fit", "tanh", 0.001, 0.005),  # an outlier
        facts("fit", "sigmoid", 0.0, 0.0),  # pixels
        facts("cross_entropy", "tanh", 0.001),  # with a temperature
        facts("cross_entropy", "sigmoid", 1.4),  # PF408
    ],
)
def test_a_head_that_reaches_is_clean(known: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=known)) == Clean()


def test_what_was_not_measured_is_said(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts={"losses": {"a": {"initial": 1.0}}}))
    assert answer == NotApplicable("what the losses receive was not measured")
