"""Whole numbers as targets: amounts where a loss measures how far off they are, else classes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from preflight.core.finding import Finding, NotApplicable
from preflight.rules import pf306_validation, pf310_labels
from preflight.rules.fields import are_amounts
from preflight.telemetry.recording import Recording

DataSeen = Callable[..., Recording]


def split(size: int) -> dict[str, Tensor]:
    x = torch.randn(size, 3, generator=torch.Generator().manual_seed(size))
    return {"x": x, "target": (250_000 + 60_000 * x[:, 0]).long()}


def losses(kind: str) -> dict[str, object]:
    return {"losses": {"loss": {"kind": kind, "target": "target", "constant": 1.0, "initial": 9.0}}}


@pytest.mark.parametrize(("kind", "is_found"), [("fit", False), ("cross_entropy", True)])
def test_prices_are_no_classes_that_training_lacks(kind: str, is_found: bool, data_seen: DataSeen) -> None:
    recording = data_seen(split(600), split(200), facts=losses(kind))
    assert are_amounts(recording, "target") is not is_found
    assert isinstance(pf306_validation.RULE.judge(recording), Finding) is is_found


def test_whether_prices_belong_to_their_inputs_cannot_be_told_of_them_as_classes(data_seen: DataSeen) -> None:
    answer = pf310_labels.RULE.judge(data_seen(split(600), split(200), facts=losses("fit")))
    assert answer == NotApplicable("whole numbers that are amounts were looked at as classes: give them as floats")


def test_numbers_that_repeat_stay_classes_whatever_the_loss(data_seen: DataSeen) -> None:
    few = [{**part, "target": part["target"] % 5} for part in (split(600), split(200))]
    assert not are_amounts(data_seen(*few, facts=losses("fit")), "target")
