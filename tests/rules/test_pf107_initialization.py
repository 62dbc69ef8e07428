from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from preflight.core.finding import ERROR, WARNING, Clean, Finding, NotApplicable
from preflight.rules.pf107_initialization import GROWN, RULE, VANISHED
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]


def parameter(name: str, **changes: Any) -> dict[str, Any]:
    healthy = {
        "name": name,
        "shape": [64, 64],
        "trained": True,
        "has_gradient": True,
        "weight_norm": 4.0,
        "gradient_norm": 0.1,
        "symmetric_units": 0,
    }
    return healthy | changes


def signals(sizes: Sequence[float], gradients: Sequence[float] | None = None) -> dict[str, Any]:
    gradients = np.ones(len(sizes)) if gradients is None else gradients
    pairs = zip(sizes, gradients, strict=True)
    layers = [
        {"module": f"{index}", "weighted": True, "sample_std": float(size), "gradient_std": float(gradient)}
        for index, (size, gradient) in enumerate(pairs)
    ]
    return {"activations": [*layers, {"module": "relu", "weighted": False, "sample_std": 1e-9}], "parameters": []}


@pytest.mark.parametrize("end", [0.3 * VANISHED.value, 1e-12, 3 * GROWN.value, 1e9])
def test_a_signal_that_changes_by_a_factor_per_layer_is_found(end: float, recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=signals(np.geomspace(1.0, end, 8))))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "7")
    assert ("shrinks" in answer.message) == (end < 1)
    assert answer.strength > 1


def test_a_gradient_that_shrinks_on_its_way_back_is_found(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=signals(np.ones(8), np.geomspace(1e-7, 1.0, 8))))
    assert isinstance(answer, Finding)
    assert answer.where == "0"
    assert "gradient shrinks" in answer.message


@pytest.mark.parametrize(
    "sizes",
    [
        np.ones(8),
        np.geomspace(1, 1e-3, 7),  # seven plain layers at PyTorch's own initialisation
        np.geomspace(1, 20, 12),  # a residual stream
        [1.0, 0.2, 1.1, 0.2, 1.0, 0.3, 1e-6],  # a head that starts near zero
        [1.0, 1e-3, 1e-6],  # too few
        [1.0, 0.0, 1.0, 0.0, 1.0, 0.0],  # blocks that end in zeros
        [],
    ],
)
def test_signals_that_hold_or_jump_once_are_clean(sizes: list[float], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=signals(sizes))) == Clean()


def test_units_that_are_copies_are_found(recorded: Recorded) -> None:
    facts = {"parameters": [parameter("0.weight", symmetric_units=64), parameter("2.weight", symmetric_units=2)]}
    answer = RULE.judge(recorded(facts=facts))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (ERROR, "0.weight")


def test_zeros_that_hold_each_other_at_zero_are_found(recorded: Recorded) -> None:
    stuck = {"weight_norm": 0.0, "gradient_norm": 0.0}
    bias = parameter("2.bias", shape=[10], weight_norm=0.0)
    facts = {"parameters": [parameter("0.weight", **stuck), parameter("2.weight", **stuck), bias]}
    answer = RULE.judge(recorded(facts=facts))
    assert isinstance(answer, Finding)
    assert "2 of 2 weight matrices are zero" in answer.message


ZERO = {"weight_norm": 0.0}
WAITING = {"gradient_norm": 0.0}


@pytest.mark.parametrize(
    "items",
    [
        [parameter("body"), parameter("head", **ZERO)],
        [parameter("body", **WAITING), parameter("head", **ZERO)],  # the rest learns from the second step on
        [parameter("a", **WAITING), parameter("b", **ZERO, **WAITING), parameter("head", **ZERO)],
        [parameter("linear", **ZERO)],
        [parameter("linear", **ZERO, **WAITING)],
        [parameter("emb", symmetric_units=3), parameter("head", symmetric_units=None)],
        [parameter("frozen", trained=False, has_gradient=False, gradient_norm=None, **ZERO)] * 2,
    ],
)
def test_zeros_that_get_a_gradient_sooner_or_later_are_clean(items: list[dict[str, Any]], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts={"parameters": items})) == Clean()


def network(kind: str, shape: list[int], rms: float, fresh: float = 1.0) -> dict[str, Any]:
    """Facts of a network with one layer whose weights have a root mean square of ``rms``."""
    norm = rms * float(np.sqrt(np.prod(shape)))
    return {
        "parameters": [parameter("0.weight"), parameter("1.weight", shape=shape, weight_norm=norm)],
        "activations": [{"module": str(index), "type": kind, "weighted": True} for index in range(2)],
        "losses": {"mse": {"fresh": fresh}},
    }


@pytest.mark.parametrize(
    ("kind", "shape", "rms", "gain"),
    [
        ("Linear", [10, 100], 5.0, 50.0),
        ("Conv2d", [8, 16, 5, 5], 1.0, 20.0),
        ("ConvTranspose2d", [100, 4, 2, 2], 1.0, 20.0),
        ("Embedding", [500, 64], 300.0, 300.0),
    ],
)
def test_random_weights_that_begin_large_are_found(
    kind: str, shape: list[int], rms: float, gain: float, recorded: Recorded
) -> None:
    answer = RULE.judge(recorded(facts=network(kind, shape, rms)))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "1.weight")
    assert answer.evidence[0].value == pytest.approx(gain)


@pytest.mark.parametrize(
    "facts",
    [
        network("Linear", [10, 100], np.sqrt(2 / 100)),  # He
        network("Linear", [1, 100], 0.1),
        network("Embedding", [50_000, 512], 1.0),  # PyTorch's own
        network("Linear", [10, 100], 5.0, fresh=0.5),  # loaded weights are as they are
        network("Linear", [10, 100], 5.0) | {"losses": {}},
        network("Linear", [10, 100], 5.0) | {"activations": []},  # no layer, such as a table of positions
    ],
)
def test_weights_of_the_usual_size_or_trained_before_are_clean(facts: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts)) == Clean()


def test_where_no_probe_has_looked_there_is_nothing_to_judge(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'parameters' or 'activations'")
