"""The gradient noise scale of a job, and that the training does not notice."""

from __future__ import annotations

import copy
import math
import random
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.advise.noise import NO_GRADIENT, NOT_FINITE
from preflight.core.params import Params
from preflight.trials import noise as module
from preflight.trials.noise import (
    BATCHES,
    batches_of,
    batches_within,
    disjoint_batches,
    folded,
    gram_matrix,
    measure_noise,
)
from preflight.trials.outcome import COMPLETED

DIMENSIONS, DEVIATION = 20, 3.0


class Point(nn.Module):
    """A point whose gradient on a sample is its way from there."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.full((DIMENSIONS,), 1.5))

    def forward(self, samples: Tensor) -> Tensor:
        return self.place.expand_as(samples)


def distance(output: Tensor, target: Tensor) -> Tensor:
    return 0.5 * (output - target).square().sum(dim=1).mean()


def cloud(size: int = 4000) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    samples = DEVIATION * torch.randn(size, DIMENSIONS, generator=torch.Generator().manual_seed(3))
    return (samples, samples), (samples[:20], samples[:20])


def truth() -> float:
    """``tr(Sigma) / |G|^2`` of all samples, at the weights of a new point."""
    samples = cloud()[0][0].double()
    return float(samples.var(dim=0).sum() / (1.5 - samples.mean(dim=0)).square().sum())


def measured(task: Any, batch_size: int = 16, seed: int = 0) -> Any:
    return measure_noise(task.job(Params(lr=0.1, batch_size=batch_size)), task, seed, 0)


@pytest.mark.parametrize("batch_size", [4, 16, 100])
def test_it_is_the_known_one_of_a_quadratic(make_task: Any, batch_size: int) -> None:
    task = make_task(factory=Point, data=cloud(), losses={"distance": distance})
    moments = [measured(task, batch_size, seed) for seed in range(20)]
    assert {(item.batches, item.batch_size, item.failed) for item in moments} == {(BATCHES, batch_size, "")}
    inside = sum(item.scale.low <= truth() <= item.scale.high for item in moments)
    assert inside >= 17
    assert float(np.median([item.scale.samples for item in moments])) == pytest.approx(truth(), rel=0.2)


def test_the_unit_of_the_loss_and_its_weight_do_not_matter(make_task: Any) -> None:
    task = make_task(factory=Point, data=cloud(), losses={"distance": distance})
    weighted = Params(lr=0.1, batch_size=16, loss_weights={"distance": 1e-3})
    other = measure_noise(task.job(weighted), task, 0, 0)
    assert other.scale.samples == pytest.approx(measured(task).scale.samples, rel=1e-4)


def test_batches_are_disjoint(make_task: Any) -> None:
    numbers = torch.arange(300.0)[:, None]
    task = make_task(factory=lambda: nn.Linear(1, 1), data=((numbers, numbers), (numbers[:20], numbers[:20])))
    seen = torch.cat([batch["target"] for batch in disjoint_batches(task, 32, 9, 0)])
    assert len(seen) == len(seen.unique()) == 288


class Moody(nn.Module):
    """Draws from every source of random numbers, and changes buffers and weights as it goes."""

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(dropout))
        self.head = nn.Linear(8, 2)
        self.teacher = nn.Parameter(torch.zeros(2), requires_grad=False)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, values: Tensor) -> Tensor:
        if self.training:
            self.count = self.count + 1  # another tensor
            with torch.no_grad():
                self.teacher.mul_(0.9).add_(self.head.bias, alpha=0.1)
        drawn = random.random() + np.random.random()
        return self.head(self.body(values)) + 0.01 * drawn * self.training + 0.1 * self.teacher


def test_a_run_with_the_measuring_is_the_run_without_to_the_bit(
    make_lab: Any, make_spec: Any, run: Any, folder_of: Any
) -> None:
    built: list[nn.Module] = []
    optimizers: list[torch.optim.Optimizer] = []
    seen: list[Tensor] = []
    after = []

    def loss(output: Tensor, target: Tensor) -> Tensor:
        seen.append(target)
        return F.mse_loss(output, target)

    def remembered(dropout: float = 0.5) -> nn.Module:
        built.append(Moody(dropout))
        return built[-1]

    def optimizer(groups: Any, lr: float) -> torch.optim.Optimizer:
        optimizers.append(torch.optim.Adam(groups, lr=lr))
        return optimizers[-1]

    for shares in ((), (0.0, 1 / 3, 1.0)):
        lab = make_lab(factory=remembered, losses={"mse": loss}, optimizer=optimizer, data=_rows())
        spec = replace(make_spec(seed=4), noise_at=shares)
        result = run(lab, spec)
        tables = {path.name: path.read_bytes() for path in folder_of(lab, spec).glob("*.csv")}
        state = built[-1].state_dict(), copy.deepcopy(optimizers[-1].state_dict()["state"])
        after.append((result, tables, state))
    (plain, first, (weights, moments)), (noisy, second, (others, again)) = after
    assert [item.step for item in noisy.noise] == [0, 4, 12] and not plain.noise
    assert all(item.scale is not None for item in noisy.noise)
    assert (plain.score, plain.losses) == (noisy.score, noisy.losses)
    assert first == second
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert weights["count"] == 12
    assert all(torch.equal(moments[i][name], again[i][name]) for i in moments for name in moments[i])


def test_random_numbers_modes_and_gradients_are_put_back_when_the_model_fails(make_task: Any) -> None:
    task = make_task(factory=Moody, data=_rows())
    job = task.job(Params(lr=0.1, batch_size=8))
    job.network.train()
    job.network.model.head.eval()
    job.parameters[0][1].grad = torch.ones_like(job.parameters[0][1])
    calls = []

    def fail(*_: object) -> None:
        calls.append(1)
        if len(calls) > 5:
            raise RuntimeError("no more\nthan five")

    job.network.register_forward_hook(fail)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    state = copy.deepcopy(job.network.state_dict())
    moment = measure_noise(job, task, 0, 7)
    assert (moment.step, moment.scale, moment.failed) == (7, None, "RuntimeError: no more; than five")
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert all(torch.equal(value, state[name]) for name, value in job.network.state_dict().items())
    assert job.network.training and not job.network.model.head.training
    assert job.parameters[0][1].grad.eq(1).all()


def test_a_model_that_fails_while_it_is_measured_trains_on(make_lab: Any, make_spec: Any, run: Any) -> None:
    result = run(make_lab(factory=OnlyEight), replace(make_spec(), noise_at=(0.0, 1.0)))
    assert result.outcome.status == COMPLETED
    assert [item.failed for item in result.noise] == ["ValueError: got 5 samples"] * 2


class OnlyEight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, values: Tensor) -> Tensor:
        if self.training and len(values) != 8:
            raise ValueError(f"got {len(values)} samples")
        return self.layer(values)


def test_a_short_run_is_not_spent_on_measuring() -> None:
    assert [batches_within(steps) for steps in (1, 40, 150, 600, 10**6)] == [8, 8, 15, 32, 32]


@pytest.mark.parametrize(
    ("samples", "batch_size", "fixed", "expected"),
    [
        (4000, 16, False, (32, 16)),
        (1297, 256, False, (32, 40)),
        (1297, 256, True, (5, 256)),
        (150, 150, False, (32, 4)),
        (40, 40, False, (20, 2)),
        (9, 9, False, (4, 2)),
        (3, 1, False, (3, 1)),
    ],
)
def test_smaller_batches_are_taken_where_too_few_fit(
    samples: int, batch_size: int, fixed: bool, expected: tuple[int, int]
) -> None:
    assert batches_of(samples, batch_size, BATCHES, fixed=fixed) == expected


def test_too_few_samples_are_said_so(make_task: Any) -> None:
    task = make_task(data=_rows(10))
    assert measured(task, 10).failed == "10 training samples make 5 batches of 2, and 8 are needed"
    task = make_task(factory=Moody, data=_rows(40))
    moment = measured(task, 16)  # batch normalization: smaller batches would be another model
    assert moment.failed == "40 training samples make 2 batches of 16, and 8 are needed"
    assert moment.normed


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda output, target: F.mse_loss(output.detach(), target), NO_GRADIENT),
        (lambda output, target: 0 * F.mse_loss(output, target), NO_GRADIENT),
        (lambda output, target: math.nan * F.mse_loss(output, target), NOT_FINITE),
    ],
    ids=["none", "zero", "nan"],
)
def test_without_a_gradient_there_is_no_number(make_task: Any, function: Any, reason: str) -> None:
    moment = measured(make_task(losses={"odd": function}, data=_rows()), 8)
    assert (moment.scale, moment.failed) == (None, reason)


def contrast(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output @ target.T, torch.arange(len(output)))


def test_a_loss_that_compares_samples_is_named_and_others_are_not(make_task: Any) -> None:
    losses = {
        "mean": F.mse_loss,
        "sum": lambda output, target: (output - target).square().sum(),
        "contrast": contrast,
    }
    for batch_size in (8, 3):
        assert measured(make_task(losses=losses, data=_rows()), batch_size).tied == ("contrast",)


def test_a_batch_that_cannot_be_halved_is_measured_all_the_same(make_task: Any) -> None:
    moment = measured(make_task(factory=OnlyWhole, data=_rows()), 8)
    assert (moment.failed, moment.tied) == ("", ())


class OnlyWhole(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 2)

    def forward(self, values: Tensor) -> Tensor:
        assert len(values) == 8
        return super().forward(values)


def test_batch_normalization_alone_ties_no_loss(make_task: Any) -> None:
    moment = measured(make_task(factory=Moody, data=_rows()), 8)
    assert (moment.tied, moment.normed) == ((), True)


@pytest.mark.parametrize("sizes", [[5, 3], [64], [100, 1, 300, 28], [1000]])
def test_a_folded_vector_keeps_dot_products_on_average(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    one = [torch.randn(size, generator=generator) for size in sizes]
    other = [item + torch.randn(len(item), generator=generator) for item in one]
    products = []
    for seed in range(100):
        monkeypatch.setattr(module, "SIGNS", seed)
        pair = [folded(item, 64) for item in (one, other)]
        assert len(pair[0]) == min(64, sum(sizes))
        products.append(gram_matrix(pair)[0, [0, 1]])
    exact = [float(torch.cat(one) @ torch.cat(item)) for item in (one, other)]
    error = np.std(products, axis=0) / math.sqrt(len(products))
    assert np.all(np.abs(np.mean(products, axis=0) - exact) <= 4 * error + 1e-3)


def test_of_a_large_model_one_gradient_is_held_at_a_time(make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[int] = []
    kept: list[int] = []
    whole: list[weakref.ref[Tensor]] = []

    def watched(tensors: list[Tensor], size: int) -> Tensor:
        whole.extend(weakref.ref(item) for item in tensors)
        alive.append(sum(item().numel() for item in whole if item() is not None))  # type: ignore[union-attr]
        found = folded(tensors, size)
        kept.append(found.numel())
        return found

    monkeypatch.setattr(module, "folded", watched)
    monkeypatch.setattr(module, "SKETCH", 64)
    task = make_task(factory=lambda: nn.Sequential(nn.Linear(3, 50), nn.Linear(50, 20), nn.Linear(20, 2)))
    size = sum(item.numel() for _, item in task.job(Params(lr=0.1, batch_size=2)).parameters)
    assert measured(task, 2).failed == ""
    assert alive == [size] * 20
    assert kept == [64] * 20


def _rows(size: int = 400) -> Any:
    generator = torch.Generator().manual_seed(1)
    parts = [
        (torch.randn(count, 3, generator=generator), torch.randn(count, 2, generator=generator)) for count in (size, 22)
    ]
    return tuple(parts)
