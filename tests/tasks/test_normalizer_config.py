"""Configurations of a normalizer, as people write them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from preflight.core.errors import ConfigError
from preflight.tasks.normalizer import InputNormalizer


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("standardize", r"a normalization is a mapping with kind, center and scale, got 'standardize'"),
        (3, r"got 3"),
        ({"kind": "standardise"}, r"kind=standardise is not known; did you mean 'standardize'\?"),
        ({"kind": "standardize", "centre": [1.0]}, r"unknown key 'centre' in a normalization; did you mean 'center'\?"),
        ({"kind": "standardize", "center": [1.0]}, r"kind=standardize needs 'scale'"),
        ({"scale": [1.0]}, r"kind=standardize needs 'center'"),
        ({"kind": "batch_norm"}, r"kind=batch_norm needs 'features'"),
        ({"center": [1.0], "scale": [1.0, 2.0]}, r"center has 1 values and scale has 2"),
        ({"center": [1.0], "scale": [1.0], "log_unit": [1.0, 0.0]}, r"log_unit has 2 values for 1 features"),
        ({"center": ["a"], "scale": [1.0]}, r"center of a normalization must be a list of numbers, got \['a'\]"),
        ({"center": "12", "scale": [1.0]}, r"center of a normalization must be a list of numbers, got '12'"),
        ({"center": [1.0], "scale": [True]}, r"scale of a normalization must be a list of numbers, got \[True\]"),
        ({"center": [1.0], "scale": [0.0]}, r"scale of a normalization must be positive, got 0 in \[0\.0\]"),
        ({"center": [1.0], "scale": [-2.0]}, r"scale of a normalization must be positive, got -2 in"),
        ({"center": [1.0], "scale": [1e-60]}, r"scale of a normalization must be positive, got 1e-60"),
        ({"center": [1.0], "scale": [math.nan]}, r"scale of a normalization must hold finite numbers, got nan"),
        ({"center": [math.inf], "scale": [1.0]}, r"center of a normalization must hold finite numbers, got inf"),
        ({"center": [10**400], "scale": [1.0]}, r"center of a normalization must hold finite numbers, got 1000"),
        ({"center": [], "scale": []}, r"center of a normalization must be a list of numbers, got an empty one"),
        ({"center": [1.0], "scale": [1.0], "log_unit": True}, r"log_unit of a normalization must be a list of numbers"),
        ({"center": [1.0], "scale": [1.0], "log_unit": [-1.0]}, r"log_unit of a normalization must be positive, or 0"),
        ({"center": [1.0], "scale": [1.0], "axis": "x"}, r"axis of a normalization must be a whole number, got 'x'"),
        (
            {"kind": "layer_norm", "features": "x"},
            r"features of a normalization must be a whole number of at least 1, got 'x'",
        ),
    ],
)
def test_a_config_that_is_no_normalizer_is_refused_by_key(config: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        InputNormalizer.from_config(config)


def test_one_number_stands_for_one_feature() -> None:
    module = InputNormalizer.from_config({"center": 2.0, "scale": 4})
    assert module(torch.tensor([10.0])).tolist() == [2.0]


@pytest.mark.parametrize(
    ("shape", "axis", "text"),
    [
        ((4, 5), -1, r"statistics of 3 features got values of 5, on axis=-1 of \[4, 5\]"),
        ((4, 1), -1, r"statistics of 3 features got values of 1, on axis=-1 of \[4, 1\]"),
        ((4,), -1, r"statistics of 3 features got values of 1"),
        ((4, 5, 8, 3), 1, r"statistics of 3 features got values of 5, on axis=1"),
        ((4, 3), 3, r"axis=3 got values of 2 axes, \[4, 3\]"),
    ],
)
@pytest.mark.parametrize(
    "config", [{"center": [0.0] * 3, "scale": [1.0] * 3}, {"kind": "layer_norm", "features": 3}], ids=["fixed", "layer"]
)
def test_another_number_of_features_names_both(
    config: dict[str, Any], shape: tuple[int, ...], axis: int, text: str
) -> None:
    module = InputNormalizer.from_config({**config, "axis": axis})
    with pytest.raises(ConfigError, match=text):
        module(torch.zeros(shape))


def test_one_number_may_stand_for_all_features() -> None:
    module = InputNormalizer.from_config({"center": 2.0, "scale": 4.0})
    assert module(torch.full((2, 3), 10.0)).tolist() == [[2.0] * 3] * 2
