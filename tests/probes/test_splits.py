from __future__ import annotations

import pytest
import torch
from torch import Tensor

from preflight.core.errors import TaskError
from preflight.core.model_settings import FieldSettings
from preflight.probes.splits import check_splits, differences
from preflight.tasks.data import Batch, Roles

ROLES = Roles(("x",), ("y",))
X, Y = torch.zeros(4, 8), torch.zeros(4, 1)
TRAIN = {"x": X, "y": Y}


def check(validation: Batch, train: Batch = TRAIN, **known: FieldSettings) -> None:
    check_splits(ROLES, train, validation, known)


def refusal(validation: Batch, train: Batch = TRAIN, **known: FieldSettings) -> str:
    with pytest.raises(TaskError) as error:
        check(validation, train, **known)
    return str(error.value)


def test_splits_of_one_form_agree() -> None:
    check({"x": torch.ones(2, 8), "y": torch.ones(2, 1)})


def test_another_number_of_features_is_refused_with_both_forms() -> None:
    assert refusal({"x": X[:, :5], "y": Y}) == (
        "the field 'x' is float32[8] per sample in the train data and float32[5] in the validation data: "
        "8 features in one and 5 in the other; sequences of any length have the shape [P, 1]"
    )


@pytest.mark.parametrize(
    ("validation", "text"),
    [
        ({"x": X[:, None], "y": Y}, "float32[1, 8] in the validation data: give both as many axes"),
        ({"x": X[:, 0], "y": Y}, "float32[] in the validation data: give both as many axes"),
        ({"x": X, "y": Y[:, 0]}, "'y' is float32[1] per sample in the train data and float32[] in"),
        ({"x": X, "y": torch.zeros(4, 2)}, "1 features in one and 2 in the other"),
        ({"x": X.long(), "y": Y}, "floating-point numbers in one and whole numbers in the other"),
        ({"x": X.bool(), "y": Y}, "floating-point numbers in one and true and false in the other"),
    ],
)
def test_what_would_be_broadcast_or_not_computed_is_refused(validation: Batch, text: str) -> None:
    assert text in refusal(validation)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(4, 7, 3), torch.zeros(2, 9, 3)),  # sequences, padded to different lengths
        (torch.zeros(4, 7).long(), torch.zeros(2, 9).long()),  # tokens
        (torch.zeros(4, 3, 8, 8), torch.zeros(2, 3, 6, 9)),  # images
        (torch.zeros(4, 8), torch.zeros(2, 8).double()),
    ],
)
def test_lengths_sizes_and_precision_may_differ(one: Tensor, other: Tensor) -> None:
    check({"x": other, "y": Y[:2]}, {"x": one, "y": Y})


def test_images_of_other_channels_are_refused() -> None:
    other = {"x": torch.zeros(2, 1, 8, 8), "y": Y[:2]}
    assert refusal(other, {"x": torch.zeros(4, 3, 8, 8), "y": Y}).endswith("3 features in one and 1 in the other")


def test_a_mask_that_is_missing_or_misshapen_in_the_validation_data_is_told() -> None:
    train = {"x": torch.zeros(4, 7, 3), "y": Y, "valid": torch.ones(4, 7).bool()}
    masked = FieldSettings(mask="valid")
    without = {"x": torch.zeros(2, 7, 3), "y": Y[:2]}
    assert "mask=valid is in the train data, and the validation data has no such field" in refusal(
        without, train, x=masked
    )
    text = refusal({**without, "valid": torch.ones(2, 5).bool()}, train, x=masked)
    assert text.startswith("in the validation data, model.fields.x.mask=valid has the shape [5] per sample")


def test_a_clue_names_what_differs_in_precision() -> None:
    assert differences(ROLES, TRAIN, TRAIN) == ""
    text = differences(ROLES, TRAIN, {"x": X.double(), "y": Y})
    assert text == "; in the train data, the field 'x' is float32[8] per sample, here float64[8]"
