from __future__ import annotations

import math
from typing import Any

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from preflight.core.search_settings import parse_space
from preflight.pipeline.axes import range_of_lr, room_to_refine


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


RANGE = FloatDistribution(1e-4, 1e-1, log=True)


@pytest.mark.parametrize(
    ("lr", "axis", "expected"),
    [
        ({"low": "auto", "high": "auto"}, RANGE, (0.0, math.inf)),
        ({"low": "auto", "high": 0.2}, RANGE, (0.0, 0.2)),
        ({"low": 0.01, "high": 0.2}, RANGE, (0.01, 0.2)),
        ([0.01, 0.1], CategoricalDistribution((0.01, 0.1)), None),
        ("keep", None, None),
        ({"low": "auto", "high": "auto"}, None, None),  # no key of the file
    ],
)
def test_the_best_rate_may_be_moved_inside_the_users_bounds(
    lr: Any, axis: BaseDistribution | None, expected: tuple[float, float] | None
) -> None:
    axes = {} if axis is None else {"lr": axis}
    assert room_to_refine(axes, parse_space({"lr": lr}, {}, ("mse",))).lr == expected


def test_a_warmup_may_be_shortened_to_what_the_user_lists() -> None:
    space = parse_space({"lr": "keep"}, {}, ("mse",))
    assert room_to_refine({}, space).warmups == ()
    listed, ranged = CategoricalDistribution((0.0, 0.02, 0.1)), FloatDistribution(0.0, 0.1)
    assert room_to_refine({"warmup_fraction": listed}, space).warmups == (0.0, 0.02, 0.1)
    assert room_to_refine({"warmup_fraction": ranged}, space).warmups == ()
