from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from preflight.probes.heads import Head, head_of, statistics, target_statistics

INPUTS = torch.linspace(-3, 3, 24, requires_grad=True).reshape(4, 6)

BOUNDED = {
    "relu": (nn.ReLU(), Head("relu", 0.0, math.inf)),
    "sigmoid": (nn.Sigmoid(), Head("sigmoid", 0.0, 1.0)),
    "tanh": (nn.Tanh(), Head("tanh", -1.0, 1.0)),
    "softmax": (nn.Softmax(-1), Head("softmax", 0.0, 1.0, 6)),
    "softmax over the batch": (nn.Softmax(0), Head("softmax", 0.0, 1.0, 4)),
    "log-softmax": (nn.LogSoftmax(1), Head("log_softmax", -math.inf, 0.0, 6)),
    "clamp": (lambda x: x.clamp(min=0), Head("clamp", 0.0, math.inf)),
    "hardtanh": (nn.ReLU6(), Head("clamp", 0.0, 6.0)),
    "moved afterwards": (lambda x: x.sigmoid().unsqueeze(1).transpose(1, 2).reshape(-1), Head("sigmoid", 0.0, 1.0)),
}


@pytest.mark.parametrize(("function", "head"), BOUNDED.values(), ids=BOUNDED)
def test_the_last_operation_is_read_off_the_graph(function: Any, head: Head) -> None:
    assert head_of(function(INPUTS)) == head


@pytest.mark.parametrize(
    "function", [nn.Linear(6, 2), lambda x: 10 * x.sigmoid(), nn.GELU(), nn.LeakyReLU(), lambda x: x.sigmoid().detach()]
)
def test_what_is_unbounded_or_not_known_has_no_head(function: Any) -> None:
    assert head_of(function(INPUTS)) is None


def test_probabilities_are_told_by_their_sums() -> None:
    rows = statistics(INPUTS.softmax(1))
    assert (rows["rows_sum_to_one"], rows["columns_sum_to_one"]) == (True, False)
    columns = statistics(INPUTS.softmax(0))
    assert (columns["rows_sum_to_one"], columns["columns_sum_to_one"]) == (False, True)
    assert statistics(INPUTS.log_softmax(1))["rows_are_log_probabilities"]
    assert not statistics(INPUTS)["rows_sum_to_one"]
    assert not statistics(torch.ones(4, 1))["rows_sum_to_one"]  # one unit is no distribution


def test_statistics_are_of_all_values() -> None:
    found = statistics(torch.tensor([[0.0, 2.0], [4.0, 2.0]]))
    assert (found["output_min"], found["output_max"], found["output_mean"]) == (0.0, 4.0, 2.0)
    assert (found["output_zeros"], found["output_shape"]) == (0.25, [2])
    assert statistics(torch.zeros(0)) == {}


@pytest.mark.parametrize(("target", "whole"), [(torch.tensor([0, 3]), True), (torch.tensor([0.0, 3.0]), False)])
def test_statistics_of_the_target(target: Tensor, whole: bool) -> None:
    found = target_statistics(target)
    assert (found["target_max"], found["target_std"], found["target_whole"]) == (3.0, 1.5, whole)
