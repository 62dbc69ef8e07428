from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.errors import RefusedError, TaskError
from preflight.core.model_settings import FieldSettings
from preflight.core.params import Params
from preflight.probes.fields import inspect_field, target_ranges
from preflight.probes.flaws import INPUT, TARGET, TRAINING, VALIDATION, Expected, Flaw, find_flaws
from preflight.probes.harm import check_flaws
from preflight.probes.layout import layout_of
from preflight.tasks.data import take_samples
from preflight.tasks.pytorch import PyTorchTask

TODAY = Params(lr=0.1, batch_size=8)
SIZE = 200


def part(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "x": torch.randn(SIZE, 3, generator=generator),
        "valid": torch.ones(SIZE, 3, dtype=torch.bool),
        "y": torch.randn(SIZE, 1, generator=generator),
    }


class Net(nn.Module):
    """A linear layer with batch norm, on inputs that ``clean`` has seen first."""

    def __init__(self, clean: Any = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.clean = clean

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return self.layers(x if self.clean is None else self.clean(x, valid))


def flaws_of(task: PyTorchTask, mask: str | None) -> list[Flaw]:
    train, validation = take_samples(task.data.train), take_samples(task.data.validation)
    field = inspect_field("x", train[1], FieldSettings(mask=mask), SIZE)
    layout = layout_of("y", train[1], FieldSettings())
    expected = [
        Expected(INPUT, field.layout, field.ranges),
        Expected(TARGET, layout, target_ranges(layout, train[1], SIZE)),
    ]
    return [
        *find_flaws(TRAINING, task.data.train, train, expected),
        *find_flaws(VALIDATION, task.data.validation, validation, expected),
    ]


@pytest.fixture
def checked(make_task: Any) -> Any:
    """Notes on a task whose data has one value replaced."""

    def check(
        split: str, field: str, value: float, mask: str | None = None, covered: bool = False, **changes: Any
    ) -> tuple[str, ...]:
        parts = {TRAINING: part(0), VALIDATION: part(1)}
        parts[split][field][123, 0] = value
        if covered:
            parts[split]["valid"][123] = False
        data = (parts[TRAINING], parts[VALIDATION])
        values = {"factory": Net, "losses": {"mse": F.mse_loss}, **changes}
        task = make_task(data=data, inputs=["x", "valid"], targets=["y"], **values)
        return check_flaws(task, TODAY, 0, flaws_of(task, mask))

    return check


@pytest.mark.parametrize("split", [TRAINING, VALIDATION])
@pytest.mark.parametrize(("field", "role"), [("x", "feature 'x[0]' of input 'x'"), ("y", "target 'y'")])
def test_a_value_that_makes_a_loss_not_finite_is_refused_with_its_place(
    split: str, field: str, role: str, checked: Any
) -> None:
    with pytest.raises(RefusedError) as error:
        checked(split, field, math.nan)
    text = str(error.value)
    assert error.value.code == "PF305"
    assert text.endswith("(PF305, see `preflight rules PF305`)")
    assert text.startswith(f"in the {split} data, {role} has 1 value that is not finite, in sample 123: with it ")
    assert "the loss 'mse' is nan, before any training. Drop these samples" in text
    assert ("model.fields.x.mask" in text) == (field == "x")


def test_an_outlier_that_overflows_is_refused(checked: Any) -> None:
    with pytest.raises(RefusedError, match=r"'y' is 1e\+30 in sample 123, .* the loss 'mse' is inf, before") as error:
        checked(TRAINING, "y", 1e30)
    assert error.value.code == "PF108"  # finite itself, and the loss is not


def test_an_outlier_that_does_not_is_noted(checked: Any) -> None:
    (note,) = checked(TRAINING, "y", 1e6)
    assert note.startswith("in the training data, target 'y' is 1e+06 in sample 123, where 99.9% of the values lie")


def present(output: Tensor, target: Tensor) -> Tensor:
    known = ~target.isnan()
    return F.mse_loss(output[known], target[known])


def test_missing_targets_that_the_loss_leaves_out_are_noted(checked: Any) -> None:
    (note,) = checked(TRAINING, "y", math.nan, losses={"mse": present})
    assert "target 'y' has 1 value that is not finite, in sample 123: the losses are finite with it" in note


def test_missing_inputs_that_the_model_fills_in_are_noted(checked: Any) -> None:
    (note,) = checked(TRAINING, "x", math.nan, factory=lambda: Net(lambda x, valid: x.nan_to_num()))
    assert "feature 'x[0]' of input 'x' has 1 value that is not finite" in note


def test_a_finite_loss_with_a_gradient_that_is_not_is_refused(checked: Any) -> None:
    def roots(output: Tensor, target: Tensor) -> Tensor:
        error = (output - target.nan_to_num(1e3)).abs()
        return torch.where(target.isnan(), 0.0, error.log()).mean() + (0 * output + target.isnan() * 0).sqrt().sum()

    with pytest.raises(TaskError, match=r"gradient of '.*' is not finite, before any training"):
        checked(TRAINING, "y", math.nan, losses={"roots": roots})


def test_what_a_mask_covers_is_no_matter_if_the_model_leaves_it_out(checked: Any) -> None:
    careful = {"factory": lambda: Net(lambda x, valid: torch.where(valid, x, 0.0))}
    assert len(checked(TRAINING, "x", math.nan, "valid", covered=True, **careful)) == 1
    assert checked(TRAINING, "x", 1e30, "valid", covered=True, **careful) == ()


def test_a_mask_that_the_model_multiplies_with_is_told(checked: Any) -> None:
    careless = {"factory": lambda: Net(lambda x, valid: x * valid)}
    with pytest.raises(TaskError, match=r"not finite under its mask 'valid', .* 0 times NaN is NaN; put zeros there"):
        checked(TRAINING, "x", math.nan, "valid", covered=True, **careless)


def test_a_model_that_asserts_is_quoted(checked: Any) -> None:
    def refuse(x: Tensor, valid: Tensor) -> Tensor:
        assert bool(x.isfinite().all()), "no gaps please"
        return x

    with pytest.raises(TaskError, match="in sample 123: with it the task fails: AssertionError: no gaps please"):
        checked(TRAINING, "x", math.nan, factory=lambda: Net(refuse))


def test_sound_data_has_no_notes(checked: Any) -> None:
    assert checked(TRAINING, "x", 0.0) == ()
