from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from preflight.tasks.normalizer import InputNormalizer
from preflight.tasks.statistics import FieldValues, normalizer_config, safe_scale, signed_log


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20))
def test_the_signed_logarithm_is_odd_and_keeps_the_order(numbers: list[float]) -> None:
    values = torch.tensor(sorted(numbers), dtype=torch.float64)
    logs = signed_log(values, 3.0)
    assert torch.equal(signed_log(-values, 3.0), -logs)
    assert bool((logs.diff() >= 0).all())


def lognormal(shape: float) -> Tensor:
    return (shape * torch.randn(3000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).exp()


def normalized(values: Tensor) -> Tensor:
    config = normalizer_config("log_standardize", FieldValues(values, -1), ("heavy_tailed",))
    return InputNormalizer.from_config(config)(values).double()


@given(
    scale=st.floats(1e-15, 1e15),
    shape=st.floats(0.5, 4.0),
    offset=st.floats(-2.0, 2.0),
    zeros=st.floats(0.0, 0.8),
)
def test_units_do_not_matter_to_the_logarithm(scale: float, shape: float, offset: float, zeros: float) -> None:
    values = lognormal(shape) + offset
    values[: int(zeros * len(values))] = 0.0
    torch.testing.assert_close(normalized(scale * values), normalized(values), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_the_logarithm_of_a_lognormal_feature_is_as_good_as_normal(unit: float) -> None:
    values = lognormal(3.5)
    both = torch.cat([normalized(unit * values), values.log()], dim=1)
    assert float(both.T.corrcoef()[0, 1]) > 0.99


def test_small_values_of_both_signs_are_not_torn_apart() -> None:
    values = torch.randn(3000, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 3
    rows = normalized(values)
    assert float((rows.abs() < 0.25).double().mean()) > 0.15  # 0.20 of a normal distribution
    assert float(rows.abs().max()) < 0.5 * float(values.abs().max() / values.std())


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0, 5.0], [1e-40, 1e30], [-1e38, 1e-38, 3.0]])
def test_the_unit_of_a_logarithm_is_one_that_can_divide(values: list[float]) -> None:
    assert bool(normalized(torch.tensor(values, dtype=torch.float64).unsqueeze(1)).isfinite().all())


def test_quartiles_are_values_of_the_field() -> None:
    rows = FieldValues(torch.tensor([[9.0], [1.0], [5.0], [2.0], [3.0]], dtype=torch.float64), -1)
    assert normalizer_config("robust", rows, ("continuous",)) == {"kind": "robust", "center": [3.0], "scale": [3.0]}


def test_norms_need_the_number_of_features_alone() -> None:
    rows = FieldValues(torch.ones(4, 3, dtype=torch.float64), 1)
    assert normalizer_config("batch_norm", rows, ()) == {"kind": "batch_norm", "axis": 1, "features": 3}


@pytest.mark.parametrize("scale", [0.0, math.nan, math.inf, -0.0])
def test_a_scale_that_cannot_divide_is_one(scale: float) -> None:
    assert safe_scale([scale, 2.0, -3.0]) == [1.0, 2.0, -3.0]


def test_per_kind_leaves_what_is_looked_up_as_it_is() -> None:
    values = torch.tensor([[0.0, 5.0], [9.0, 7.0], [4.0, 9.0]], dtype=torch.float64)
    found = normalizer_config("per_kind", FieldValues(values, -1), ("tokens", "continuous"))
    assert (found["center"][0], found["scale"][0]) == (0.0, 1.0)
    assert found["center"][1] == 7.0
