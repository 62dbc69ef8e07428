from __future__ import annotations

import pytest

from preflight.advise.balanced import (
    Balanced,
    Weighed,
    better_weights,
    settings_of,
    typical_weights,
    with_effects,
)
from preflight.core.params import Params

BASE = Params(lr=0.1, batch_size=8, loss_weights={"a": 1.0, "b": 1.0})
SCORES = {1: 1.0, 2: 1.02, 3: 0.99}


def scaled(factor: float) -> dict[int, float]:
    return {seed: score * factor for seed, score in SCORES.items()}


def row(name: str, factor: float, *, follow: bool = False) -> Weighed:
    return Weighed(name, {"a": 1.5, "b": 0.5}, follow, scaled(factor))


def test_typical_weights_are_a_geometric_mean_of_the_same_sum() -> None:
    found = typical_weights([{"a": 1.99, "b": 0.01}, {"a": 1.9999, "b": 0.0001}])
    assert sum(found.values()) == pytest.approx(2)
    assert found["b"] / found["a"] == pytest.approx(5.013e-4, rel=1e-3)


def test_weights_become_settings_with_three_digits() -> None:
    assert settings_of({"a": 1.23456, "b": 1e-7 / 3}) == {"loss_weights.a": 1.23, "loss_weights.b": 3.33e-8}


def test_every_row_is_compared_with_the_first() -> None:
    rows = with_effects([row("base", 1.0), row("better", 0.5), row("worse", 2.0)])
    assert rows[0].effect is None
    assert rows[1].effect is not None and rows[1].effect.gain == pytest.approx(0.5)
    assert rows[2].effect is not None and rows[2].effect.is_worse


def test_only_fixed_weights_that_do_better_are_proposed() -> None:
    rows = with_effects([row("base", 1.0), row("held", 0.5), row("no better", 0.999), row("goes", 0.4, follow=True)])
    found = better_weights(Balanced(BASE.flat(), rows), BASE)
    assert [dict(params.loss_weights) for params in found] == [{"a": 1.5, "b": 0.5}]


def test_nothing_compared_proposes_nothing() -> None:
    assert better_weights(Balanced(left_out="one loss"), BASE) == []
