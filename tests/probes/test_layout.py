from __future__ import annotations

import pytest
import torch
from torch import Tensor

from preflight.core.errors import TaskError
from preflight.core.model_settings import FieldSettings
from preflight.probes.layout import layout_of

AUTO = FieldSettings()


def batch(*shape: int, **others: Tensor) -> dict[str, Tensor]:
    size = int(torch.tensor(shape).prod())
    return {"x": torch.arange(size).reshape(shape), **others}


@pytest.mark.parametrize(
    ("shape", "axis", "features", "rows"),
    [
        ((4,), -1, 1, (4, 1, 1)),
        ((4, 3), -1, 3, (4, 1, 3)),
        ((4, 5, 3), -1, 3, (4, 5, 3)),
        ((4, 3, 2, 2), 1, 3, (4, 4, 3)),
        ((4, 3, 2, 2, 6), -1, 6, (4, 12, 6)),
    ],
)
def test_features_lie_on_the_last_axis_but_of_images(
    shape: tuple[int, ...], axis: int, features: int, rows: tuple[int, ...]
) -> None:
    layout = layout_of("x", batch(*shape), AUTO)
    assert (layout.axis, len(layout.features)) == (axis, features)
    assert layout.by_feature(batch(*shape)).shape == rows


def test_channels_of_an_image_are_its_features() -> None:
    images = batch(2, 3, 2, 2)
    by_feature = layout_of("x", images, AUTO).by_feature(images)
    assert by_feature[1, :, 2].tolist() == images["x"][1, 2].flatten().tolist()


MASKS = {
    "of a sample": (torch.tensor([True, False]), [[True] * 6, [False] * 6]),
    "of a position": (
        torch.tensor([[True, False, True], [False, True, True]]),
        [[True, True, False, False, True, True], [False, False, True, True, True, True]],
    ),
    "of a value": (torch.arange(12).view(2, 3, 2) % 3 > 0, [[False, True, True] * 2] * 2),
}


@pytest.mark.parametrize(("mask", "expected"), MASKS.values(), ids=MASKS)
def test_a_mask_is_spread_over_what_it_covers(mask: Tensor, expected: list[list[bool]]) -> None:
    samples = batch(2, 3, 2, valid=mask)
    layout = layout_of("x", samples, FieldSettings(mask="valid"))
    valid = layout.valid(samples)
    assert valid is not None
    assert valid.expand(2, 3, 2).flatten(1).tolist() == expected


def test_without_a_mask_there_is_none() -> None:
    assert layout_of("x", batch(2, 3), AUTO).valid(batch(2, 3)) is None


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 1), (2, 2)])
def test_a_mask_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    samples = batch(2, 3, 2, valid=torch.ones(shape))
    with pytest.raises(TaskError, match=r"model\.fields\.x\.mask=valid has the shape .* neither the field's, \[3, 2\]"):
        layout_of("x", samples, FieldSettings(mask="valid"))
