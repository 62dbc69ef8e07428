"""Whole numbers as targets: nothing is said of classes where a loss takes them for amounts, and faults are found."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from preflight.core.finding import Clean, Finding
from preflight.rules import pf306_validation, pf307_not_shuffled, pf308_raw_target, pf310_labels
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]
Split = dict[str, Tensor]
SCALES = {"ratings": (3.0, 1.2), "ages": (40.0, 15.0), "prices": (250_000.0, 60_000.0)}
WIDTHS = [1, 3]


def split(size: int, scale: str = "ages", width: int = 1) -> Split:
    """Inputs ``[N, 3]`` and whole numbers ``[N]`` or ``[N, width]``."""
    mean, deviation = SCALES[scale]
    x = torch.randn(size, 3, generator=torch.Generator().manual_seed(size))
    values = (mean + deviation * x[:, :width]).round().long().clamp(0)
    return {"x": x, "target": values if width > 1 else values[:, 0]}


def absolute(output: Tensor, target: Tensor) -> Tensor:
    return (output - target.reshape(output.shape)).abs().mean()


def measured(data_seen: DataSeen, train: Split, validation: Split, **changes: Any) -> Recording:
    width = train["target"][0].numel()
    model = partial(nn.Linear, 3, width)
    return data_seen(train, validation, model=model, losses={"loss": absolute}, **changes)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("width", WIDTHS)
def test_amounts_are_no_classes_that_training_lacks(scale: str, width: int, data_seen: DataSeen) -> None:
    recording = measured(data_seen, split(100, scale, width), split(60, scale, width))
    assert isinstance(pf306_validation.RULE.judge(recording), Clean)
    assert "classes" not in recording.fact("fields", "target")


def test_the_same_numbers_are_classes_where_the_loss_looks_them_up(data_seen: DataSeen) -> None:
    recording = data_seen(split(100), split(60))
    answer = pf306_validation.RULE.judge(recording)
    assert isinstance(answer, Finding)
    assert "classes that no training sample has" in answer.message


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("width", WIDTHS)
def test_another_scale_in_the_validation_data_is_found(scale: str, width: int, data_seen: DataSeen) -> None:
    validation = split(300, scale, width)
    answer = pf306_validation.RULE.judge(
        measured(data_seen, split(600, scale, width), {**validation, "target": 2 * validation["target"]})
    )
    assert isinstance(answer, Finding)
    assert "distributed otherwise" in answer.message
    assert "class" not in answer.message


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("width", WIDTHS)
def test_whether_amounts_belong_to_their_inputs_is_told(scale: str, width: int, data_seen: DataSeen) -> None:
    train, validation = split(600, scale, width), split(400, scale, width)
    order = torch.randperm(600, generator=torch.Generator().manual_seed(2))
    assert isinstance(pf310_labels.RULE.judge(measured(data_seen, train, validation)), Clean)
    answer = pf310_labels.RULE.judge(measured(data_seen, {**train, "target": train["target"][order]}, validation))
    assert isinstance(answer, Finding)
    assert "do not belong" in answer.message


@pytest.mark.parametrize("scale", SCALES)
def test_sorted_amounts_that_are_not_shuffled_are_found(scale: str, data_seen: DataSeen) -> None:
    train = split(600, scale)
    order = train["target"].argsort()
    in_order = {name: tensor[order] for name, tensor in train.items()}
    answer = pf307_not_shuffled.RULE.judge(measured(data_seen, in_order, split(300, scale), params={"shuffle": False}))
    assert isinstance(answer, Finding)


def test_whole_numbers_may_be_in_raw_units(data_seen: DataSeen) -> None:
    facts = {"losses": {"loss": {"initial": 250_000.0}}}
    answer = pf308_raw_target.RULE.judge(measured(data_seen, split(600, "prices"), split(300, "prices"), facts=facts))
    assert isinstance(answer, Finding)
    assert isinstance(pf308_raw_target.RULE.judge(data_seen(split(600), split(300), facts=facts)), Clean)
