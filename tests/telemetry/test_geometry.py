from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.telemetry.geometry import GEOMETRY, geometry


def cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return (unit @ unit.T)[None]


def measured(rows: np.ndarray) -> dict[str, float]:
    return dict(zip(GEOMETRY, geometry(cosines(rows), rows.shape[1])[0], strict=True))


@pytest.mark.parametrize(("count", "width"), [(2, 2), (5, 8), (64, 64)])
def test_rows_at_right_angles_have_full_rank(count: int, width: int) -> None:
    found = measured(np.eye(width)[:count])
    assert found == pytest.approx(
        {"cosine_mean": 0.0, "cosine_max": 0.0, "effective_rank": count, "rank_limit": count, "rows": count}
    )


def test_parallel_rows_have_rank_one_whatever_their_length() -> None:
    found = measured(np.outer([1.0, 5.0, 1e-6, 1e6], [0.3, -0.2, 0.9]))
    assert (found["cosine_mean"], found["cosine_max"]) == pytest.approx((1.0, 1.0))
    assert found["effective_rank"] == pytest.approx(1.0)
    assert found["rank_limit"] == 3


def test_what_float32_leaves_of_zero_adds_no_rank() -> None:
    rows = np.outer(np.ones(64), np.random.default_rng(0).normal(size=512)).astype(np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    found = geometry((unit @ unit.T)[None].astype(np.float64), 512)[0]
    assert found[2] == pytest.approx(1.0, abs=0.05)


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 99))
def test_the_effective_rank_is_that_of_the_singular_values_and_lies_below_its_limit(
    count: int, width: int, seed: int
) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, width))
    found = measured(rows)
    singular = np.linalg.svd(rows / np.linalg.norm(rows, axis=1, keepdims=True), compute_uv=False)
    shares = singular[singular > 1e-3 * singular[0]] / singular[singular > 1e-3 * singular[0]].sum()
    assert found["effective_rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert 1 <= found["effective_rank"] <= found["rank_limit"] + 1e-9


def test_rows_that_are_not_finite_and_a_single_row_are_not_measured() -> None:
    several = np.concatenate([cosines(np.eye(3)), np.full((1, 3, 3), np.nan)])
    found = geometry(several, 3)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
    assert np.isnan(geometry(np.ones((2, 1, 1)), 4)).all()
    assert geometry(np.empty((0, 3, 3)), 3).shape == (0, 5)


def test_rows_of_zeros_have_no_rank() -> None:
    assert np.isnan(geometry(np.zeros((1, 3, 3)), 3)[0, 2])
