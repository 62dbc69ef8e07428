from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.core.params import Params
from preflight.tasks.metrics import mean_absolute_error
from preflight.trials.evaluation import Evaluation, evaluate, score

TODAY = Params(lr=0.1, batch_size=8)
EVERYTHING = 1000


def evaluated(task: Any, *, samples: int = EVERYTHING, batch_size: int = 8, **references: float) -> Evaluation:
    torch.manual_seed(0)
    job = task.job(TODAY)
    return evaluate(job, task, references or {"mse": 1.0}, samples, batch_size)


@pytest.mark.parametrize("batch_size", [1, 7, 8, 22, 100])
def test_losses_are_weighted_by_samples_also_where_the_last_batch_is_short(
    batch_size: int, make_task: Any, parts: Any
) -> None:
    task = make_task(metric={"function": mean_absolute_error, "goal": "minimize"})
    torch.manual_seed(0)
    model = task.job(TODAY).network.model
    inputs, targets = parts[1]
    with torch.no_grad():
        output = model(inputs)
    found = evaluated(task, batch_size=batch_size)
    assert found.losses["mse"] == pytest.approx(float(F.mse_loss(output, targets)), rel=1e-5)
    assert found.metric == pytest.approx(float((output - targets).abs().mean()), rel=1e-5)
    assert found.score == pytest.approx(found.losses["mse"])


def test_an_average_over_batches_would_have_been_another(make_task: Any, parts: Any) -> None:
    x, y = parts[1]
    y = y.clone()
    y[-1] = 100.0  # alone in the last of three batches of 7 and one of 1
    task = make_task(data=(parts[0], (x, y)))
    assert evaluated(task, batch_size=7).losses["mse"] == pytest.approx(evaluated(task).losses["mse"], rel=1e-5)


def test_at_most_so_many_samples_are_evaluated_spread_over_the_split(make_task: Any, parts: Any) -> None:
    seen = []

    def remembering(output: Tensor, target: Tensor) -> Tensor:
        seen.extend(target[:, 0].tolist())
        return F.mse_loss(output, target)

    evaluated(make_task(losses={"mse": remembering}), samples=4, batch_size=3)
    assert seen == parts[1][1][[0, 7, 14, 21], 0].tolist()


class WithBatchNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2), nn.Dropout(0.5))

    def forward(self, values: Tensor) -> Tensor:
        return self.layers(values)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_and_dropout_are_evaluated_and_the_mode_is_put_back(training: bool, make_task: Any) -> None:
    task = make_task(factory=WithBatchNorm)
    job = task.job(TODAY)
    job.network.train(training)
    before = {name: value.clone() for name, value in job.network.state_dict().items()}
    first = evaluate(job, task, {"mse": 1.0}, EVERYTHING, 8)
    assert evaluate(job, task, {"mse": 1.0}, EVERYTHING, 22).losses["mse"] == pytest.approx(first.losses["mse"])
    assert [module.training for module in job.network.modules()] == [training] * len(list(job.network.modules()))
    assert all(torch.equal(value, before[name]) for name, value in job.network.state_dict().items())


def test_evaluating_leaves_gradients_and_the_random_state_alone(make_task: Any) -> None:
    task = make_task(factory=WithBatchNorm)
    job = task.job(TODAY)
    state = torch.get_rng_state()
    evaluate(job, task, {"mse": 1.0}, EVERYTHING, 8)
    assert all(parameter.grad is None for _, parameter in job.parameters)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_score_does_not_depend_on_loss_weights(make_task: Any) -> None:
    task = make_task(losses={"mse": F.mse_loss, "l1": F.l1_loss})
    scores = set()
    for weight in (0.0, 1.0, 1e6):
        torch.manual_seed(0)
        job = task.job(TODAY.with_values({"loss_weights.l1": weight}))
        scores.add(evaluate(job, task, {"mse": 2.0, "l1": 3.0}, EVERYTHING, 8).score)
    assert len(scores) == 1


class Scaled(nn.Module):
    def __init__(self, units: float) -> None:
        super().__init__()
        self.layer, self.units = nn.Linear(3, 2), units

    def forward(self, values: Tensor) -> Tensor:
        return self.units * self.layer(values)


@pytest.mark.parametrize("units", [1e-3, 1.0, 1e3])
def test_the_score_does_not_depend_on_the_units_of_the_target(units: float, make_task: Any, parts: Any) -> None:
    scaled = tuple((x, units * y) for x, y in parts)
    task = make_task(factory=lambda: Scaled(units), data=scaled)
    found = evaluated(task, mse=units**2 * 3.0)
    assert found.losses["mse"] == pytest.approx(
        units**2 * evaluated(make_task(factory=lambda: Scaled(1.0))).losses["mse"]
    )
    assert found.score == pytest.approx(evaluated(make_task(factory=lambda: Scaled(1.0)), mse=3.0).score)


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, values: Tensor) -> Any:
        output = self.layer(values)
        return {"both": (output, [output + 1]), "note": "text"}


def test_the_metric_sees_the_whole_set_in_the_structure_of_the_output(make_task: Any) -> None:
    seen = []

    def structure(output: Any, target: Tensor) -> float:
        first, (second,) = output["both"]
        assert output["note"] == "text"
        seen.append((first.shape, second.shape, target.shape))
        return float((second - first).mean())

    losses = {"mse": lambda output, target: F.mse_loss(output["both"][0], target)}
    metric = {"function": structure, "goal": "minimize"}
    found = evaluated(make_task(factory=Several, losses=losses, metric=metric))
    assert seen == [((22, 2), (22, 2), (22, 2))]
    assert found.metric == pytest.approx(1.0)


def test_columns_are_those_of_the_losses_file() -> None:
    columns = Evaluation({"a": 1.0, "b": 2.0}, 0.5, 7.0, {"a": 3.0, "b": 2.0}).columns()
    assert columns == {"val_a": 1.0, "val_b": 2.0, "val_score": 0.5, "val_metric": 7.0}


def test_a_score_is_the_mean_of_the_losses_over_their_references() -> None:
    assert score({"a": 1.0, "b": 30.0}, {"a": 2.0, "b": 10.0}) == pytest.approx((0.5 + 3.0) / 2)
    assert score({"a": 2.0}, {"a": 2.0}) == 1.0
    assert score({"a": 0.0}, {"a": 2.0}) == 0.0


def test_a_loss_without_a_reference_stays_out_of_the_score_as_long_as_it_is_finite() -> None:
    assert score({"a": 1.0, "kl": 1e9}, {"a": 2.0}) == 0.5
    assert math.isnan(score({"a": 1.0, "kl": math.nan}, {"a": 2.0}))


def test_less_is_better_also_where_a_reference_is_negative() -> None:
    likelihood = {"nll": -3.0}
    assert score({"nll": -6.0}, likelihood) == pytest.approx(0.0)
    assert score({"nll": -3.0}, likelihood) == 1.0
    assert score({"nll": 0.0}, likelihood) == pytest.approx(2.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_has_no_score(bad: float) -> None:
    assert math.isnan(score({"a": 1.0, "b": bad}, {"a": 1.0, "b": 1.0}))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_smaller_loss_never_scores_worse(left: float, right: float, reference: float) -> None:
    low, high = sorted((left, right))
    assert score({"a": low}, {"a": reference}) <= score({"a": high}, {"a": reference})
