from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from preflight.core.params import Params
from preflight.probes.optimizers import look_at_optimizer

MakeTask = Callable[..., Any]
PARAMS = Params(lr=0.01, batch_size=8)


@pytest.mark.parametrize(
    ("optimizer", "scales"),
    [
        (torch.optim.SGD, False),
        (lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9, weight_decay=0.1), False),
        (torch.optim.Adam, True),
        (torch.optim.AdamW, True),
        (torch.optim.RMSprop, True),
        (torch.optim.Adagrad, True),
    ],
)
def test_whether_steps_follow_the_size_of_the_gradient(
    optimizer: Callable[..., Any], scales: bool, make_task: MakeTask
) -> None:
    found = look_at_optimizer(make_task(optimizer=optimizer), PARAMS, 0)["optimizer"]
    assert found["scales_steps"] is scales


def test_one_that_takes_no_ordinary_step_is_left_out(make_task: MakeTask) -> None:
    assert look_at_optimizer(make_task(optimizer=torch.optim.LBFGS), PARAMS, 0) == {}
