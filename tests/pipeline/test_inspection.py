"""What is said of the data before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from preflight.core.compose import compose_sweeps
from preflight.core.errors import RefusedError, TaskError
from preflight.core.settings import Trust, parse
from preflight.pipeline.inspection import (
    Inspection,
    _validation_targets,
    inspect_task,
    normalization_that_fits,
    open_task,
)
from preflight.tasks.data import MAX_SAMPLES

SIZE = 6000
Split = dict[str, Tensor]
Inspect = Callable[..., Inspection]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.float())


def split(size: int) -> Split:
    generator = torch.Generator().manual_seed(size)
    return {"x": torch.randn(size, 3, generator=generator), "target": torch.randn(size, 1, generator=generator)}


@pytest.fixture
def parts() -> tuple[Split, Split]:
    return split(SIZE), split(300)


@pytest.fixture
def inspect(parts: tuple[Split, Split]) -> Inspect:
    """Inspect the task; keyword arguments replace keys of the `model` group."""

    def run(*overrides: str, **changes: Any) -> Inspection:
        model = {
            "factory": Net,
            "data": parts,
            "losses": {"mse": F.mse_loss},
            "baseline": {"lr": 0.1, "batch_size": 32},
            "horizon_steps": 1000,
            "fields": {"x": {"features": ["time", "place", "charge"]}},
            **changes,
        }
        settings = parse({**compose_sweeps([*overrides]), "model": model}, "small", None, Trust())
        return inspect_task(settings, open_task(settings), None)

    return run


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
    assert "normalization.x" not in inspect(fields={}).options
    declared = inspect(fields={"x": {"kind": kind}})
    assert declared.options["normalization.x"] == options
    assert declared.today.params.normalization == {"x": "none"}
    assert normalization_that_fits(declared)["normalization.x"] == options[1]


class Fetched(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, part: Split) -> None:
        self.part = part
        self.asked = 0

    def __len__(self) -> int:
        return len(self.part["x"])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.asked += 1
        return self.part["x"][index], self.part["target"][index]


def test_samples_that_must_be_fetched_are_fetched_once() -> None:
    train, validation = Fetched(split(3 * MAX_SAMPLES)), Fetched(split(300))
    model = {
        "factory": Net,
        "data": (train, validation),
        "losses": {"mse": F.mse_loss},
        "baseline": {"lr": 0.1, "batch_size": 32},
        "horizon_steps": 1000,
    }
    settings = parse({**compose_sweeps([]), "model": model}, "small", None, Trust())
    inspect_task(settings, open_task(settings), None)
    assert MAX_SAMPLES <= train.asked < 1.1 * MAX_SAMPLES


def test_a_validation_loss_that_no_constant_mends_is_bad_input(inspect: Inspect, parts: tuple[Split, Split]) -> None:
    def infinite_on_negative(output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(output, target) + (1 / (target >= 0).all().float() if len(target) == 300 else 0.0)

    with pytest.raises(RefusedError, match=r"'odd' is inf on the validation data, before any training \(PF108, see"):
        inspect(losses={"odd": infinite_on_negative}, baseline={"lr": 0.1, "batch_size": 301})


def small(output: Tensor, _target: Tensor) -> Tensor:
    return output.square().mean()


def test_a_penalty_stays_out_of_the_score_and_that_is_said(inspect: Inspect) -> None:
    found = inspect(losses={"mse": F.mse_loss, "small": small})
    assert set(found.references) == {"mse"}
    assert found.constants["small"] == pytest.approx(0.0, abs=1e-9)
    assert any(note.startswith("the loss 'small' asks nothing of the data") for note in found.notes)


def test_where_there_are_only_penalties_they_are_the_score(inspect: Inspect) -> None:
    found = inspect(losses={"small": small})
    assert (set(found.references), found.notes) == ({"small"}, ())


def test_a_loss_that_falls_without_end_relates_to_its_value_before_training(inspect: Inspect) -> None:
    found = inspect(losses={"endless": lambda output, target: (output * target.abs()).mean()})
    assert found.constants == {"endless": None}
    assert found.references == found.initial
    assert any("falls without end" in note for note in found.notes)


def test_a_metric_that_is_not_finite_is_said(inspect: Inspect) -> None:
    metric = {"name": "quality", "function": lambda output, target: math.nan, "goal": "maximize"}
    assert any(note.startswith("the metric 'quality' is nan") for note in inspect(metric=metric).notes)


class Silent(nn.Module):
    """One answer for every input."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.answer.expand(len(x), 4)


def contrasted(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output @ output.T, torch.arange(len(output)))


def pulled_to_its_neighbour(output: Tensor, target: Tensor) -> Tensor:
    """Pairs of samples that follow each other, of a batch whose order counts."""
    alike = (target[1:] * target[:-1] > 0).float().squeeze(1)
    return F.binary_cross_entropy_with_logits((output[1:] * output[:-1]).sum(dim=1) - 4, alike, reduction="sum")


@pytest.mark.parametrize("loss", [contrasted, pulled_to_its_neighbour])
def test_a_model_that_ignores_its_input_has_the_score_of_a_constant_whatever_the_batch_holds(
    loss: Callable[[Tensor, Tensor], Tensor], inspect: Inspect
) -> None:
    found = inspect(factory=Silent, losses={"loss": loss}, baseline={"lr": 0.1, "batch_size": 64})
    assert found.references["loss"] == pytest.approx(found.initial["loss"], rel=0.05)


class Triple(nn.Module):
    """Three directions of every sample, by one network."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        three = torch.stack([x, x.roll(1, dims=1), x.roll(1, dims=0)], dim=1)
        return F.normalize(self.layer(three), dim=2)


def hinge(output: Tensor, target: Tensor) -> Tensor:
    anchor, positive, negative = output.unbind(dim=1)
    return F.triplet_margin_loss(anchor, positive, negative)


def test_a_constant_out_of_the_models_reach_is_no_reference(inspect: Inspect) -> None:
    found = inspect(factory=Triple, losses={"hinge": hinge})
    assert found.references == found.constants == {"hinge": pytest.approx(1.0, rel=0.2)}  # the margin
    assert any("'hinge' is next to nothing for some constant" in note for note in found.notes)


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_a_small_loss_of_targets_that_hardly_vary_is_a_reference(shift: float, inspect: Inspect) -> None:
    close = [{"x": part["x"], "target": 1e-3 * part["target"] + shift} for part in (split(SIZE), split(300))]
    found = inspect(data=tuple(close))
    assert found.references["mse"] == found.constants["mse"] < 1e-5
    assert found.notes == ()


def test_the_references_of_large_samples_are_those_of_full_batches(parts: tuple[Split, Split]) -> None:
    def task(size: int) -> Any:
        return SimpleNamespace(data=SimpleNamespace(validation=range(size), roles=SimpleNamespace(targets=("target",))))

    settings: Any = SimpleNamespace(budget=SimpleNamespace(validation_samples=4000))
    numbers = torch.arange(300)
    for size, expected in ((300, 300), (9000, 256)):
        found = _validation_targets(settings, task(size), (numbers, parts[1]), 64)
        assert found["target"].shape == (expected, 1)
