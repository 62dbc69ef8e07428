from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from preflight.core.params import Params
from preflight.probes.work import ELEMENT, FORWARD_AND_BACKWARD, OPERATION, steps_within, work_of_step

TODAY = Params(lr=0.1, batch_size=8)


def test_a_layer_is_counted_by_its_products_its_output_and_its_overhead(make_task: Any) -> None:
    found = work_of_step(make_task(factory=lambda: nn.Linear(3, 4, bias=False)), TODAY, 0)
    products, outputs, weights = 2 * 8 * 3 * 4, 8 * 4, 12
    # a matrix product, and the weight seen transposed
    forward = products + ELEMENT * (outputs + weights) + 2 * OPERATION
    assert found == FORWARD_AND_BACKWARD * forward + ELEMENT * weights


def test_a_wider_batch_and_a_deeper_model_cost_more(make_task: Any) -> None:
    def deep() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 500), nn.Linear(500, 500), nn.Linear(500, 4))

    shallow, small = work_of_step(make_task(), TODAY, 0), work_of_step(make_task(factory=deep), TODAY, 0)
    large = work_of_step(make_task(factory=deep), Params(lr=0.1, batch_size=32), 0)
    assert shallow < small < large


def test_steps_are_bounded_on_both_sides_and_the_same_each_time(make_task: Any) -> None:
    task = make_task()
    work = work_of_step(task, TODAY, 0)
    assert steps_within(task, TODAY, 0, 7.5 * work, most=80) == 7
    assert steps_within(task, TODAY, 0, 1e3 * work, most=80) == 80
    assert steps_within(task, TODAY, 0, 0.1 * work, most=80) == 3


def test_nothing_is_trained_and_no_random_number_drawn(make_task: Any) -> None:
    class Counting(nn.Dropout):
        calls = 0

        def forward(self, values: Tensor) -> Tensor:
            type(self).calls += 1
            return super().forward(values)

    task = make_task(factory=lambda: nn.Sequential(nn.Linear(3, 4), Counting()))
    state = torch.random.get_rng_state()
    work_of_step(task, TODAY, 0)
    assert Counting.calls == 1
    assert torch.equal(state, torch.random.get_rng_state())
