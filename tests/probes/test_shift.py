from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from preflight.probes.shift import feature_shift, label_shift
from preflight.tasks.data import Data, InMemory, Roles

columns = arrays(np.float64, st.integers(1, 60), elements=st.integers(-5, 5).map(float))


@given(columns, columns)
def test_the_distance_is_that_of_kolmogorov_and_smirnov(first: np.ndarray, second: np.ndarray) -> None:
    found = feature_shift(first, second, len(first), len(second))["shift"]
    at = np.concatenate([first, second])
    assert found == pytest.approx(max(abs((first <= place).mean() - (second <= place).mean()) for place in at))


def test_chance_rarely_goes_beyond_its_noise() -> None:
    draw = np.random.default_rng(0)
    for first, second in ((20, 20), (1000, 30), (500, 500)):
        found = [feature_shift(draw.normal(size=first), draw.normal(size=second), first, second) for _ in range(300)]
        assert sum(item["shift"] > item["shift_noise"] for item in found) == 0


def labelled(train: torch.Tensor, validation: torch.Tensor) -> dict[str, float]:
    data = Data(InMemory({"y": train}), InMemory({"y": validation}), Roles((), ("y",)))
    return label_shift(data, "y", train, validation)


def test_labels_are_compared_by_their_frequencies() -> None:
    train, validation = torch.tensor([0, 0, 1, 1] * 50), torch.tensor([0, 1, 1, 2] * 50)
    found = labelled(train, validation)
    assert found["classes"] == 2
    assert found["shift"] == pytest.approx(0.25)
    assert found["unseen"] == pytest.approx(0.25)
    assert found["shift_noise"] < 0.25


@pytest.mark.parametrize("classes", [2, 10, 500])
def test_labels_of_one_distribution_differ_by_noise(classes: int) -> None:
    g = torch.Generator().manual_seed(classes)
    beyond = 0
    for _ in range(30):
        found = labelled(torch.randint(0, classes, (800,), generator=g), torch.randint(0, classes, (100,), generator=g))
        beyond += found["shift"] > 1.1 * found["shift_noise"]
    assert beyond <= 1
