from __future__ import annotations

import pytest
import torch

from preflight.tasks.metrics import accuracy, mean_absolute_error


def test_accuracy_is_the_share_of_samples_with_the_right_class_on_top() -> None:
    logits = torch.tensor([[0.1, 0.9], [3.0, -1.0], [-2.0, -3.0], [0.0, 1.0]])
    assert float(accuracy(logits, torch.tensor([1, 0, 1, 0]))) == 0.5
    assert float(accuracy(logits, torch.tensor([1, 0, 0, 1]))) == 1.0


def test_accuracy_takes_every_position_of_a_sequence() -> None:
    logits = torch.eye(3).view(1, 3, 3)
    assert float(accuracy(logits, torch.tensor([[0, 1, 0]]))) == pytest.approx(2 / 3)


def test_mean_absolute_error_is_in_the_units_of_the_target() -> None:
    output, target = torch.tensor([[1.0], [5.0]]), torch.tensor([[2.0], [2.0]])
    assert float(mean_absolute_error(output, target)) == 2.0
    assert float(mean_absolute_error(1000 * output, 1000 * target)) == 2000.0
