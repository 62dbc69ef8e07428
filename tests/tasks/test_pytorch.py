from __future__ import annotations

import functools
import inspect
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.errors import TaskError
from preflight.core.params import Params

TODAY = Params(lr=0.1, batch_size=4)


def with_values(**values: Any) -> Params:
    return TODAY.with_values(values)


def test_batches_follow_the_seed_and_the_shuffling(make_task: Any) -> None:
    task = make_task()
    rows = task.data.train.tensors["input"]
    assert torch.equal(next(task.batches(with_values(shuffle=False), 3))["input"], rows[:4])
    first = next(task.batches(TODAY, 3))["input"]
    assert not torch.equal(first, rows[:4])
    assert torch.equal(next(task.batches(TODAY, 3))["input"], first)


def anything(**arguments: Any) -> nn.Module:
    return nn.Linear(3, 2)


def positional(first: int = 3, /, *rest: int, second: int = 2) -> nn.Module:
    return nn.Linear(first, second)


@pytest.mark.parametrize(
    ("factory", "names"),
    [
        (anything, None),
        (positional, ("first", "second")),
        (functools.partial(positional, second=1), ("first", "second")),
        ({"_target_": "torch.nn.Linear", "in_features": 3}, tuple(inspect.signature(nn.Linear).parameters)),
    ],
)
def test_parameters_of_the_factory_are_known_unless_it_takes_any(
    factory: Any, names: tuple[str, ...] | None, make_task: Any
) -> None:
    assert make_task(factory=factory).factory_parameters() == names


def test_parameters_of_a_model_class_and_of_a_target_are_known(make_task: Any) -> None:
    assert make_task().factory_parameters() == ("dropout", "width")
    target = {"_target_": "preflight.scenarios.digits.build_model", "hidden": 3}
    assert make_task(factory=target).factory_parameters() == ("hidden", "dropout")


def half(output: Tensor, target: Tensor) -> Tensor:
    return 0.5 * F.mse_loss(output, target)


def test_losses_may_be_functions_classes_or_targets(make_task: Any) -> None:
    losses = {
        "function": half,
        "name": "torch.nn.functional.mse_loss",
        "class": "torch.nn.MSELoss",
        "target": {"_target_": "torch.nn.SmoothL1Loss", "beta": 1e-6},
    }
    task = make_task(losses=losses)
    output, targets = torch.full((4, 2), 3.0), {"target": torch.zeros(4, 2)}
    values = [float(loss(output, targets)) for loss in task.losses]
    assert values == pytest.approx([4.5, 9.0, 9.0, 3.0], rel=1e-5)


def test_a_loss_picks_its_output_and_its_target(make_task: Any) -> None:
    part = {"input": torch.ones(3, 3), "left": torch.zeros(3, 1), "right": torch.full((3, 1), 2.0)}
    losses = {"both": {"function": half, "output": "b", "target": "right"}}
    task = make_task(data=(part, part), targets=["left", "right"], losses=losses)
    output = {"a": torch.zeros(3, 1), "b": torch.zeros(3, 1)}
    targets = {"left": part["left"], "right": part["right"]}
    assert float(task.losses[0](output, targets)) == 2.0


def both(output: Tensor, targets: dict[str, Tensor]) -> Tensor:
    return (output - targets["left"] - targets["right"]).abs().mean()


def test_several_targets_come_as_a_mapping_where_none_is_picked(make_task: Any) -> None:
    part = {"input": torch.ones(3, 3), "left": torch.ones(3, 1), "right": torch.full((3, 1), 2.0)}
    metric = {"function": both, "goal": "minimize"}
    task = make_task(data=(part, part), targets=["left", "right"], losses={"both": both}, metric=metric)
    targets = {"left": part["left"], "right": part["right"]}
    assert float(task.losses[0](torch.zeros(3, 1), targets)) == 3.0
    assert task.metric(torch.zeros(3, 1), targets) == 3.0


def test_a_task_without_a_metric_answers_nan(make_task: Any) -> None:
    assert math.isnan(make_task().metric(torch.zeros(3, 2), {"target": torch.zeros(3, 2)}))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"losses": {"mse": "torch.nn.functional.mse"}}, r"model\.losses\.mse=torch\.nn\.functional\.mse does not"),
        ({"losses": {"mse": "os.system"}}, r"model\.losses\.mse=os\.system is outside the allowed prefixes"),
        ({"losses": {"mse": 3}}, r"model\.losses\.mse must be a function of \(output, target\), got int"),
        ({"losses": {"mse": {"_target_": "torch.Size"}}}, r"model\.losses\.mse\._target_=torch\.Size is outside"),
        ({"data": lambda: 1 / 0}, r"model\.data: .* failed: ZeroDivisionError: division by zero"),
        ({"data": lambda: None}, r"model\.data must give \(train, validation\), got NoneType"),
    ],
)
def test_a_task_that_cannot_be_built_says_why(changes: Any, text: str, make_task: Any) -> None:
    with pytest.raises(TaskError, match=text):
        make_task(**changes)


def test_the_data_is_loaded_once(make_task: Any) -> None:
    loaded = []

    def load() -> Any:
        loaded.append(1)
        return (torch.zeros(8, 3), torch.zeros(8, 2)), (torch.zeros(4, 3), torch.zeros(4, 2))

    task = make_task(data=load)
    for _ in range(3):
        task.job(TODAY)
        next(task.batches(TODAY, 0))
    assert loaded == [1]


def test_a_metric_that_does_not_import_is_told_by_its_key_before_anything_is_run(make_task: Any) -> None:
    metric = {"function": "preflight.tasks.metrics.acuracy", "goal": "maximize"}
    text = r"model\.metric\.function=preflight\.tasks\.metrics\.acuracy does not import: .* did you mean 'accuracy'\?"
    with pytest.raises(TaskError, match=text):
        make_task(metric=metric)


def test_integers_can_be_normalized_where_they_are_declared_to_be_amounts(make_task: Any) -> None:
    part = {"count": torch.arange(12).view(6, 2), "token": torch.arange(6), "target": torch.zeros(6, 2)}
    data, fields = (part, part), {"count": {"kind": "count"}, "token": {"kind": "tokens"}}
    assert make_task(data=data).data.numeric_inputs() == ()
    assert make_task(data=data, fields=fields).data.numeric_inputs() == ("count",)
    mixed = {"count": {"features": ["a", "b"], "kind": ["identifier", "continuous"]}}
    assert make_task(data=data, fields=mixed).data.numeric_inputs() == ("count",)
