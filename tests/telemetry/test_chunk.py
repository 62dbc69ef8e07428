from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from preflight.telemetry.chunk import COLUMNS, Chunk, Layout, combine, concatenate

nan = np.nan


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.floats(0, 1e30)))
def test_norms_of_the_parts_make_the_norm_of_the_whole(norms: np.ndarray) -> None:
    assert combine(norms) == pytest.approx(np.linalg.norm(norms, axis=1), rel=1e-12)


def test_the_largest_float32_squared_still_fits() -> None:
    assert combine(np.array([[3e38, 4e38]])) == pytest.approx([5e38])


def test_a_part_that_is_always_missing_is_left_out() -> None:
    assert combine(np.array([[3.0, nan, 4.0], [6.0, nan, 8.0]])).tolist() == [5.0, 10.0]


def test_a_nan_in_a_part_that_has_values_stays_visible() -> None:
    whole = combine(np.array([[3.0, 4.0], [nan, 4.0], [3.0, nan]]))
    assert whole[0] == 5.0
    assert np.isnan(whole[1:]).all()


def test_an_infinity_stays_visible() -> None:
    assert combine(np.array([[3.0, np.inf]])).tolist() == [np.inf]


@pytest.mark.parametrize("norms", [np.empty((3, 0)), np.full((3, 2), nan)])
def test_a_whole_of_nothing_is_unknown(norms: np.ndarray) -> None:
    whole = combine(norms)
    assert whole.shape == (3,)
    assert np.isnan(whole).all()


def test_no_rows_make_no_rows() -> None:
    assert combine(np.empty((0, 2))).shape == (0,)


def test_components_come_in_the_order_of_their_first_parameter() -> None:
    mixed = Layout(("a", "b", "c", "d"), ("head", "backbone", "head", "neck"), (1, 1, 1, 1), ())
    assert mixed.component_names() == ("head", "backbone", "neck")
    found = mixed.by_component(np.array([[3.0, 1.0, 4.0, 2.0]]))
    assert {name: values.tolist() for name, values in found.items()} == {
        "head": [5.0],
        "backbone": [1.0],
        "neck": [2.0],
    }
    assert list(found) == ["head", "backbone", "neck"]


def test_rows_that_were_not_sampled_stay_nan_by_component(history: Chunk, layout: Layout) -> None:
    found = layout.by_component(history.deltas)
    assert np.isnan(found["backbone"][0::2]).all()
    assert found["backbone"][1] == pytest.approx(np.hypot(1.3, 1.4))


def test_chunks_are_joined_row_by_row(history: Chunk, layout: Layout) -> None:
    cut = [
        Chunk(first, *(getattr(history, name)[first:last] for name in COLUMNS))
        for first, last in ((0, 1), (1, 4), (4, 6))
    ]
    whole = concatenate(cut, layout)
    assert (whole.first_step, len(whole)) == (0, 6)
    for name in COLUMNS:
        assert np.array_equal(getattr(whole, name), getattr(history, name), equal_nan=True), name


def test_the_first_step_is_that_of_the_first_chunk(history: Chunk, layout: Layout) -> None:
    later = replace(history, first_step=10)
    assert concatenate([later, replace(history, first_step=16)], layout).first_step == 10


def test_no_chunks_are_a_chunk_without_rows(layout: Layout) -> None:
    empty = concatenate([], layout)
    assert len(empty) == 0
    assert (empty.losses.shape[1], empty.norms.shape[1], empty.deltas.shape[1]) == (3, 4, 4)


def test_what_was_not_sampled_is_nan(history: Chunk) -> None:
    bare = Chunk(0, history.losses, history.norms, history.deltas, history.heads, history.lrs)
    assert (bare.weights.shape, bare.geometry.shape) == ((6, 4), (6, 5))
    assert np.isnan(bare.weights).all()
    assert np.isnan(bare.geometry).all()
