"""A small network learns a wave of one variable, or a surface of two."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain_loop import Habits
from benchmarks.program import STEPS, Base, Training
from benchmarks.programs.digits_mlp import Data
from benchmarks.programs.digits_mlp_model import Then
from benchmarks.programs.perceptron import alike, initialized, perceptron, times_30, zeros
from benchmarks.programs.points import Change, cut, momentum, ordered

SAMPLES, TRAIN_SIZE = 800, 600


@lru_cache(maxsize=4)
def _points(dimensions: int) -> tuple[Tensor, Tensor]:
    """Points ``[N, D]`` from -1.7 to 1.7, values ``[N, 1]`` of unit scale with a noise of 0.4."""
    generator = torch.Generator().manual_seed(21)
    points = 1.7 * (2 * torch.rand(SAMPLES, dimensions, generator=generator) - 1)
    values = torch.sin(2 * points).sum(dim=1, keepdim=True) + 0.3 * points[:, :1] ** 3
    values = (values - values.mean()) / values.std()
    return points, values + 0.4 * torch.randn(SAMPLES, 1, generator=generator)


def samples(dimensions: int = 1, point: Change | None = None, value: Change | None = None) -> Data:
    """Both splits; all points and all values may be changed."""
    points, values = _points(dimensions)
    points, values = (points if point is None else point(points)), (values if value is None else value(values))
    return cut(points, values, TRAIN_SIZE)


def task(dimensions: int = 1, **options: Any) -> Training:
    """Adam at 0.01."""
    return Training(
        factory=partial(perceptron, dimensions, **{"width": 32, "activation": "tanh", **options}),
        data=partial(samples, dimensions),
        losses={"mse": F.mse_loss},
        baseline={"lr": 0.01, "batch_size": 32},
        optimizer=torch.optim.Adam,
    )


BASE = Base(
    "curve",
    "regression",
    task,
    variants={"tanh": {}, "relu": {"activation": "relu", "width": 64}, "plane": {"dimensions": 2}},
    rates={"sgd": (0.05, 0.1), "adam": (0.01, 0.005), "adamw": (0.01, 0.005), "rmsprop": (0.003, 0.005)},
)
HEALTHY = BASE.healthy()


def _sorted() -> Data:
    train, validation = samples()
    return ordered(train, train[0].squeeze(1).argsort()), validation


def _to_the_right() -> Data:
    """The left part is trained, the right part validated."""
    points, values = _points(1)
    return cut(*ordered((points, values), points.squeeze(1).argsort()), TRAIN_SIZE)


def _of_other_points() -> Data:
    (points, values), validation = samples()
    return (points, values.roll(TRAIN_SIZE // 2, dims=0)), validation


def _twelve_points() -> Data:
    (points, values), validation = samples(2)
    noise = torch.randn(12, 1, generator=torch.Generator().manual_seed(22))
    return (points[:12], values[:12] + noise), validation


def _tiny(output: Tensor, target: Tensor) -> Tensor:
    return 1e-6 * F.mse_loss(output, target)


def _small() -> nn.Module:
    return perceptron(1, width=32, activation="tanh")


def _mean_of_batch(output: Tensor) -> Tensor:
    """The mean is taken over the samples in place of something else."""
    return output.mean(dim=0, keepdim=True).expand_as(output)


def _sgd(lr: float, **changes: Any) -> Training:
    return momentum(task(), lr, **changes)


_case = BASE.faulty

FAULTY = (
    _case("lr_times_100", "Adam at 1", ("PF201",), lambda: task().but(lr=1.0)),
    _case("lr_by_1000", "Adam at 1e-5", ("PF202",), lambda: task().but(lr=1e-5)),
    _case("batch_1_sgd_1", "SGD with momentum at 1, batch 1", ("PF201",), lambda: _sgd(1.0, batch_size=1)),
    _case("sgd_1e-6", "SGD with momentum at 1e-6", ("PF202",), lambda: _sgd(1e-6)),
    _case(
        "too_few_steps",
        "SGD at 0.001 for 60 steps",
        ("PF202",),
        lambda: task().but(lr=0.001, horizon_steps=60, optimizer=torch.optim.SGD),
        lambda: task().but(horizon_steps=60),
    ),
    _case(
        "warmup_of_the_whole_run",
        "the warmup is as long as the run",
        ("PF204",),
        lambda: _sgd(0.05, warmup_steps=STEPS),
    ),
    _case(
        "deep_sigmoid",
        "12 layers of sigmoids: no gradient reaches the first",
        ("PF102", "PF107"),
        lambda: task(depth=12, activation="sigmoid"),
    ),
    _case(
        "tanh_head",
        "a tanh for values from -6 to 6",
        ("PF407",),
        lambda: task(last=nn.Tanh).but(data=partial(samples, value=lambda y: 3 * y)),
        lambda: task().but(data=partial(samples, value=lambda y: 3 * y)),
    ),
    _case(
        "raw_points",
        "points from 0 to 34,000",
        ("PF301",),
        lambda: task().but(data=partial(samples, point=lambda x: 1e4 * (x + 1.7))),
    ),
    _case(
        "tiny_points",
        "points in kilometres where metres were meant: 0.001",
        ("PF301",),
        lambda: task().but(data=partial(samples, point=lambda x: 1e-3 * x)),
    ),
    _case(
        "far_values",
        "values around 1,000 with a deviation of 1",
        ("PF308",),
        lambda: task().but(data=partial(samples, value=lambda y: 1000 + y)),
    ),
    _case(
        "twelve_points",
        "12 noisy points of a surface and a network of 512",
        ("PF507",),
        lambda: task(2, width=512, activation="relu").but(data=_twelve_points, lr=0.003),
        lambda: task(2),
    ),
    _case("to_the_right", "the right quarter is validated only", ("PF306",), lambda: task().but(data=_to_the_right)),
    _case(
        "sorted", "sorted by the point and not shuffled", ("PF307",), lambda: task().but(data=_sorted, shuffle=False)
    ),
    _case(
        "values_of_other_points",
        "values are half the file off",
        ("PF310",),
        lambda: task().but(data=_of_other_points),
    ),
    _case(
        "wrong_column",
        "the target is a column that is 1 everywhere",
        ("PF304",),
        lambda: task().but(data=partial(samples, value=torch.ones_like)),
    ),
    _case(
        "tiny_loss",
        "the loss is multiplied by 1e-6, with SGD",
        ("PF202", "PF402"),
        lambda: _sgd(0.05, losses={"mse": _tiny}),
    ),
    _case(
        "gradients_not_zeroed",
        "zero_grad is never called",
        ("PF109",),
        lambda: task().but(habits=Habits(zero_grad=False), lr=0.05, optimizer=torch.optim.SGD),
    ),
    _case("alike", "all weights begin at 0.1", ("PF107",), lambda: task().but(factory=initialized(_small, alike))),
    _case("zeros", "all weights begin at zero", ("PF107",), lambda: task().but(factory=initialized(_small, zeros))),
    _case(
        "large_init",
        "all weights begin 30 times too large",
        ("PF107", "PF405"),
        lambda: task().but(factory=initialized(_small, times_30)),
    ),
    _case(
        "mean_of_batch",
        "the output is the mean of the batch for every sample",
        ("PF410", "PF401"),
        lambda: task().but(factory=lambda: Then(_small(), _mean_of_batch)),
    ),
    _case("sigmoid_head", "a sigmoid for values of both signs", ("PF407",), lambda: task(last=nn.Sigmoid)),
)
