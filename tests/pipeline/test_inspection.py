"""What is said of the data before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from preflight.core.errors import TaskError
from preflight.pipeline.inspection import Inspection, normalization_that_fits
from preflight.tasks.data import MAX_SAMPLES

Split = dict[str, Tensor]
Inspect = Callable[..., Inspection]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.float())


def test_sound_data_needs_no_note(inspect: Inspect) -> None:
    found = inspect()
    assert found.notes == ()
    assert found.as_dict()["notes"] == []


@pytest.mark.parametrize(("where", "index"), [("training", 0), ("validation", 1)])
def test_one_value_that_is_not_finite_is_bad_input_wherever_it_is(
    where: str, index: int, inspect: Inspect, parts: tuple[Split, Split]
) -> None:
    sample = len(parts[index]["x"]) - 3
    parts[index]["x"][sample, 2] = math.nan
    text = f"in the {where} data, feature 'charge' of input 'x' has 1 value that is not finite, in sample {sample}"
    with pytest.raises(TaskError, match=text):
        inspect()


def test_a_target_that_is_not_finite_is_bad_input(inspect: Inspect, parts: tuple[Split, Split]) -> None:
    parts[0]["target"][[1234, 77]] = math.inf
    with pytest.raises(TaskError, match=r"target 'target' has 2 values that are not finite, in samples 77, 1234"):
        inspect()


def test_the_first_batch_is_put_down_to_the_same_values(inspect: Inspect, parts: tuple[Split, Split]) -> None:
    parts[0]["x"][5, 1] = math.nan
    changes = {"baseline": {"lr": 0.1, "batch_size": 32, "shuffle": False}}
    with pytest.raises(TaskError) as error:
        inspect(**changes)
    text = str(error.value)
    assert text.startswith("the loss 'mse' is nan on the first batch, before any training; in the training data, ")
    assert "feature 'place' of input 'x' has 1 value that is not finite, in sample 5 (batch 0 of an epoch)" in text
    assert "model.fields.x.mask" in text
    assert text.endswith("(PF305, see `preflight rules PF305`)")


@pytest.mark.parametrize("sample", [5, 1234])
def test_a_value_whose_square_overflows_is_put_down_to_its_field(
    sample: int, inspect: Inspect, parts: tuple[Split, Split]
) -> None:
    parts[0]["x"][sample, 1] = 1e30
    with pytest.raises(TaskError, match=rf"feature 'place' of input 'x' is 1e\+30 in sample {sample} "):
        inspect(baseline={"lr": 0.1, "batch_size": 32, "shuffle": False})


def test_a_unit_that_overflows_everywhere_is_put_down_to_its_field(
    inspect: Inspect, parts: tuple[Split, Split]
) -> None:
    for part in parts:
        part["x"] *= 1e25
    with pytest.raises(TaskError, match=r"the loss 'mse' is inf on the first batch, .* 'x' has values of \d\.\de\+25"):
        inspect()


def test_an_outlier_that_does_no_harm_is_noted_and_not_fitted_to(inspect: Inspect, parts: tuple[Split, Split]) -> None:
    expected = inspect().fields[0].features[1]
    parts[0]["x"][0, 1] = 1e6
    found = inspect()
    (note,) = found.notes
    assert note.startswith("in the training data, feature 'place' of input 'x' is 1e+06 in sample 0, where 99.9%")
    feature = found.fields[0].features[1]
    assert feature.maximum == 1e6
    assert feature.std == pytest.approx(expected.std, rel=0.01)


def test_missing_values_that_the_model_fills_in_are_noted_and_trained_with(
    inspect: Inspect, parts: tuple[Split, Split]
) -> None:
    class Fills(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.nan_to_num())

    parts[0]["x"][::3, 0] = math.nan
    found = inspect(factory=Fills)
    assert "feature 'time' of input 'x' has 2000 values that are not finite" in found.notes[0]
    assert found.options["normalization.x"] == ("none", "standardize")


def test_a_value_under_a_mask_does_not_count(inspect: Inspect, parts: tuple[Split, Split]) -> None:
    class Masks(Net):
        def forward(self, x: Tensor, valid: Tensor) -> Tensor:
            return super().forward(x.masked_fill(~valid.unsqueeze(1), 0.0))

    for part in parts:
        part["valid"] = torch.arange(len(part["x"])) % 10 > 0
        part["x"][::10] = 1e30
    known = {"x": {"mask": "valid"}}
    assert inspect(factory=Masks, inputs=["x", "valid"], fields=known).notes == ()


@pytest.mark.parametrize(
    ("kind", "options"),
    [("count", ("none", "standardize")), ("heavy_tailed", ("none", "standardize", "log_standardize"))],
)
def test_integers_that_are_declared_to_be_amounts_are_normalized(
    kind: str, options: tuple[str, ...], inspect: Inspect, parts: tuple[Split, Split]
) -> None:
    for part in parts:
        part["x"] = torch.poisson(5 * torch.ones(len(part["x"]), 3)).long()
    assert "normalization.x" not in inspect(factory=Net, fields={}).options
    declared = inspect(factory=Net, fields={"x": {"kind": kind}})
    assert declared.options["normalization.x"] == options
    assert declared.today.params.normalization == {"x": "none"}
    assert normalization_that_fits(declared)["normalization.x"] == options[1]


class Fetched(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, size: int) -> None:
        self.part = {"x": torch.randn(size, 3), "target": torch.randn(size, 1)}
        self.asked = 0

    def __len__(self) -> int:
        return len(self.part["x"])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.asked += 1
        return self.part["x"][index], self.part["target"][index]


def test_a_metric_that_is_not_finite_is_said(inspect: Inspect) -> None:
    metric = {"name": "quality", "function": lambda output, target: math.nan, "goal": "maximize"}
    assert any(note.startswith("the metric 'quality' is nan") for note in inspect(metric=metric).notes)


def test_samples_that_must_be_fetched_are_fetched_once(inspect: Inspect) -> None:
    train, validation = Fetched(3 * MAX_SAMPLES), Fetched(300)
    inspect(data=(train, validation), fields={})
    assert MAX_SAMPLES <= train.asked < 1.1 * MAX_SAMPLES
