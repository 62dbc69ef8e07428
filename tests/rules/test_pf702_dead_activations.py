from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf702_dead_activations import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def activation(kind: str, name: str = "act", **changes: Any) -> dict[str, Any]:
    healthy = {"module": name, "type": kind, "units": 64, "dead_units": 0, "zeros": 0.5, "std": 0.5, "samples": 256}
    return healthy | changes


@pytest.mark.parametrize(("dead", "severity"), [(55, WARNING), (64, ERROR)])
def test_units_that_are_zero_for_every_sample_are_dead(dead: int, severity: str, recorded: Recorded) -> None:
    items = [activation("ReLU", "first"), activation("ReLU", "second", dead_units=dead)]
    answer = RULE.judge(recorded(facts={"activations": items}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (severity, "second")


@pytest.mark.parametrize("kind", ["Tanh", "Sigmoid", "Hardtanh"])
def test_values_where_the_function_is_flat_are_saturated(kind: str, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts={"activations": [activation(kind, saturated=0.9)]}))
    assert isinstance(answer, Finding)
    assert "90%" in answer.message


@pytest.mark.parametrize(
    "item",
    [
        activation("ReLU"),  # half of the values are zero, as they should be
        activation("ReLU", dead_units=38),  # the last layers of a plain network of ten
        activation("ReLU", units=3, dead_units=3),
        activation("Linear", dead_units=64),  # a head or a block that starts at zero
        activation("Tanh", saturated=0.04),
        activation("Sigmoid", saturated=1.0, std=0.01),  # a gate that starts closed
        activation("GELU"),
    ],
)
def test_healthy_activations_are_clean(item: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts={"activations": [item]})) == Clean()


def test_too_few_samples_are_not_clean(recorded: Recorded) -> None:
    missing = NotApplicable("the probed batch has 1 sample, 32 are needed")
    assert RULE.judge(recorded(facts={"activations": [activation("ReLU", dead_units=64, samples=1)]})) == missing


def test_where_no_probe_has_looked_there_is_nothing_to_judge(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'activations'")
