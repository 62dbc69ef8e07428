from __future__ import annotations

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from preflight.pipeline.axes import range_of_lr


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"lr": FloatDistribution(1e-4, 1e-3, log=True)}, (1e-4, 1e-3)),  # the user's range, not the ladder's
        ({"lr": CategoricalDistribution((0.1, 0.001, 0.01))}, (0.001, 0.1)),
        ({"weight_decay": FloatDistribution(0.0, 0.1)}, None),
    ],
)
def test_the_range_of_the_search_is_what_was_searched(
    axes: dict[str, BaseDistribution], expected: tuple[float, float] | None
) -> None:
    assert range_of_lr(axes) == expected
