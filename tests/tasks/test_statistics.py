from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preflight.tasks.statistics import FieldValues, normalizer_config, safe_scale, signed_log1p


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20))
def test_the_signed_logarithm_is_odd_and_keeps_the_order(numbers: list[float]) -> None:
    values = torch.tensor(sorted(numbers), dtype=torch.float64)
    logs = signed_log1p(values)
    assert torch.equal(signed_log1p(-values), -logs)
    assert bool((logs.diff() >= 0).all())


def test_quartiles_are_values_of_the_field() -> None:
    rows = FieldValues(torch.tensor([[9.0], [1.0], [5.0], [2.0], [3.0]], dtype=torch.float64), -1)
    assert normalizer_config("robust", rows, ("continuous",)) == {"kind": "robust", "center": [3.0], "scale": [3.0]}


def test_norms_need_the_number_of_features_alone() -> None:
    rows = FieldValues(torch.ones(4, 3, dtype=torch.float64), 1)
    assert normalizer_config("batch_norm", rows, ()) == {"kind": "batch_norm", "axis": 1, "features": 3}


@pytest.mark.parametrize("scale", [0.0, math.nan, math.inf, -0.0])
def test_a_scale_that_cannot_divide_is_one(scale: float) -> None:
    assert safe_scale([scale, 2.0, -3.0]) == [1.0, 2.0, -3.0]
