from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch

from preflight.tasks.plain import copied, is_same, size_bytes

Pair = namedtuple("Pair", "image label")
SAMPLE = {
    "image": torch.tensor([[0.0, float("nan")], [2.0, 3.0]]),
    "array": np.array([1, 2], dtype=np.uint16),
    "flags": [True, None, "text", b"raw", 1.5, float("nan"), np.float32(2.5)],
    "pair": Pair(torch.tensor(3), (1, 2)),
    "empty": torch.zeros(0, 3, dtype=torch.complex64),
}


def test_a_copy_is_the_same_and_shares_no_memory() -> None:
    copy = copied(SAMPLE)
    assert is_same(copy, SAMPLE)
    assert type(copy["pair"]) is Pair
    copy["image"][0, 0] = 1.0
    copy["array"][0] = 7
    copy["flags"].append(1)
    assert SAMPLE["image"][0, 0] == 0.0 and SAMPLE["array"][0] == 1 and len(SAMPLE["flags"]) == 7


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(2), torch.zeros(2, 1)),
        (torch.zeros(2), torch.zeros(2).double()),
        (torch.zeros(2), torch.tensor([0.0, -0.0])),
        (np.zeros(2), np.zeros((1, 2))),
        (np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.float32)),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1.0}),
        ([1, 2], [1]),
        ((1, 2), [1, 2]),
        ("a", "b"),
        (float("nan"), 1.0),
    ],
)
def test_what_differs_is_not_the_same(one: Any, other: Any) -> None:
    assert is_same(one, one) and is_same(other, other)
    assert not is_same(one, other)


def test_the_layout_of_a_batch_is_that_of_the_samples() -> None:
    crop = torch.randn(9, 9, 3).permute(2, 0, 1)[:, 2:6, 1:5]
    image = np.asfortranarray(np.zeros((2, 3)))
    assert torch.stack([copied(crop)] * 2).stride() == torch.stack([crop] * 2).stride()
    assert copied(image).strides == image.strides


def test_a_copy_of_a_part_holds_no_more_than_the_part() -> None:
    assert copied(torch.zeros(1000, 10)[3]).untyped_storage().nbytes() == 40


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {"a": {1, 2}},
        [np.array([object()])],
        torch.zeros(2, requires_grad=True),
        torch.nn.Parameter(torch.zeros(1)),
        torch.eye(2).to_sparse(),
    ],
)
def test_what_is_not_plain_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="is not plain"):
        copied(value)


def test_bytes_are_those_of_the_values_and_a_little_more() -> None:
    assert 4000 <= size_bytes(torch.zeros(1000)) < 4200
    assert 8000 <= size_bytes({"x": np.zeros(1000)}) < 8300
    assert size_bytes("a" * 1000) >= 1000
    assert size_bytes(Pair(torch.zeros(1000), [1] * 100)) >= 4000 + 100 * 28
