from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from preflight.core.errors import MissingError
from preflight.rules.layers import layers, module_of, norm_of, trend_of
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
nan = np.nan


def test_the_parameters_of_a_module_are_one_layer(recorded: Recorded) -> None:
    found = layers(
        recorded(
            parameters={
                "name": ["a.weight", "a.bias", "b.inner.weight", "scale"],
                "component": ["a", "a", "b", "scale"],
                "values": [8, 2, 4, 1],
                "median_gradient_norm": [3.0, 4.0, nan, 0.0],
                "max_gradient_norm": [6.0, 8.0, nan, 1.0],
                "last_gradient_step": [9, 7, -1, 3],
            }
        )
    )
    assert [(layer.name, layer.values, layer.moved) for layer in found] == [
        ("a", 10, 9),
        ("b.inner", 4, -1),
        ("scale", 1, 3),
    ]
    assert [layer.gradient for layer in found] == pytest.approx([5.0, nan, 0.0], nan_ok=True)
    assert [layer.peak for layer in found] == pytest.approx([10.0, nan, 1.0], nan_ok=True)


def test_a_table_of_an_older_recording_lacks_a_column(recorded: Recorded) -> None:
    with pytest.raises(MissingError, match="no column 'median_gradient_norm'"):
        layers(recorded(parameters={"name": ["a"], "values": [1], "max_gradient_norm": [1.0]}))


def test_the_norm_of_a_whole_is_that_of_its_parts() -> None:
    assert norm_of(np.array([3.0, nan, 4.0])) == 5.0
    assert np.isnan(norm_of(np.array([nan])))


def test_a_parameter_at_the_top_of_a_model_is_its_own_module() -> None:
    assert [module_of(name) for name in ("scale", "a.b.weight")] == ["scale", "a.b"]


def test_a_trend_is_of_ranks() -> None:
    assert trend_of(np.array([1.0, 10.0, 1e9])) == pytest.approx(1.0)
    assert trend_of(np.array([3.0, 2.0, 1e-9])) == pytest.approx(-1.0)
    assert trend_of(np.ones(4)) == 0.0
