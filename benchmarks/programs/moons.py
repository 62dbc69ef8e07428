"""Two moons: 400 points of two classes that interlock."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import make_moons
from torch import Tensor, nn

from benchmarks.program import STEPS, Base, Training
from benchmarks.programs.changes import with_labels_shuffled
from benchmarks.programs.digits_mlp import Data
from benchmarks.programs.perceptron import first_bias_of_minus_10, initialized, perceptron, zeros
from benchmarks.programs.points import Change, cut, momentum, ordered
from benchmarks.programs.small import OneUnit

SAMPLES, TRAIN_SIZE = 480, 360


@lru_cache(maxsize=1)
def _moons() -> tuple[Tensor, Tensor]:
    points, labels = make_moons(SAMPLES, noise=0.3, random_state=31)
    points = (points - points.mean(axis=0)) / points.std(axis=0)
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels, dtype=torch.float32).unsqueeze(1)


def moons(point: Change | None = None) -> Data:
    """Points ``[N, 2]`` of unit scale and labels ``[N, 1]``, 0 or 1."""
    points, labels = _moons()
    return cut(points if point is None else point(points), labels, TRAIN_SIZE)


def task(inputs: int = 2, **options: Any) -> Training:
    """Adam at 0.01."""
    return Training(
        factory=partial(perceptron, inputs, **{"width": 24, **options}),
        data=moons,
        losses={"bce": F.binary_cross_entropy_with_logits},
        baseline={"lr": 0.01, "batch_size": 16},
        optimizer=torch.optim.Adam,
    )


BASE = Base(
    "moons",
    "small",
    task,
    variants={"relu": {}, "tanh": {"activation": "tanh"}, "layer_norm": {"norm": "layer"}},
    rates={"sgd": (0.05, 0.1), "adam": (0.01, 0.005), "adamw": (0.01, 0.005), "rmsprop": (0.005, 0.003)},
)
HEALTHY = BASE.healthy()


def _sorted() -> Data:
    train, validation = moons()
    return ordered(train, train[1].squeeze(1).argsort(stable=True)), validation


def _right_only() -> Data:
    """Points on the left are trained, those on the right validated."""
    points, labels = _moons()
    return cut(*ordered((points, labels), points[:, 0].argsort()), TRAIN_SIZE)


def _twenty_noisy() -> Data:
    """Twenty points, five of them with the other label."""
    (points, labels), validation = moons()
    labels = labels[:20].clone()
    labels[::4] = 1 - labels[::4]
    return (points[:20], labels), validation


def _numbered(points: Tensor) -> Tensor:
    """The row number of the file as a third column."""
    number = torch.randperm(20_000, generator=torch.Generator().manual_seed(33))[: len(points)].float()
    return torch.cat([points, number.unsqueeze(1)], dim=1)


def _heavy(points: Tensor) -> Tensor:
    return torch.stack([(4 * points[:, 0]).exp(), points[:, 1]], dim=1)


def _summed(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output, target, reduction="sum")


def _by_hand(output: Tensor, target: Tensor) -> Tensor:
    """Logarithms of a sigmoid that reaches 0 and 1."""
    share = torch.sigmoid(30 * output)
    return -(target * share.log() + (1 - target) * (1 - share).log()).mean()


class Alone(OneUnit):
    """A softmax over the single unit: the answer is always 1."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = perceptron(2, width=24)

    def forward(self, values: Tensor) -> Tensor:
        """``[B, 1]``, all ones."""
        return torch.softmax(self.layers(values), dim=1)


def _without_first(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{**group, "params": group["params"][-2:]} for group in groups], lr=lr, momentum=0.9)


def _small() -> nn.Module:
    return perceptron(2, width=24)


def _sgd(lr: float, **changes: Any) -> Training:
    return momentum(task(), lr, **changes)


_case = BASE.faulty

FAULTY = (
    _case("lr_times_1000", "Adam at 10", ("PF201",), lambda: task().but(lr=10.0)),
    _case("lr_by_1000", "Adam at 1e-5", ("PF202",), lambda: task().but(lr=1e-5)),
    _case("batch_1_sgd_5", "SGD with momentum at 5, batch 1", ("PF201",), lambda: _sgd(5.0, batch_size=1)),
    _case(
        "sigmoid_twice",
        "probabilities go through a second sigmoid in the loss",
        ("PF408",),
        lambda: task(last=nn.Sigmoid),
    ),
    _case(
        "softmax_of_one",
        "a softmax over one unit and BCELoss",
        ("PF408",),
        lambda: task().but(factory=Alone, losses={"bce": F.binary_cross_entropy}),
    ),
    _case("relu_head", "a ReLU for logits", ("PF407", "PF408", "PF702"), lambda: task(last=nn.ReLU)),
    _case(
        "raw_points",
        "points around 2,000 with a deviation of 300",
        ("PF301",),
        lambda: task().but(data=partial(moons, lambda x: 2000 + 300 * x)),
    ),
    _case(
        "heavy_points",
        "a coordinate as a lognormal amount of shape 4",
        ("PF302",),
        lambda: task().but(data=partial(moons, _heavy)),
    ),
    _case(
        "numbered",
        "the row number as a third column",
        ("PF303", "PF301"),
        lambda: task(inputs=3).but(data=partial(moons, _numbered)),
    ),
    _case(
        "labels_shuffled",
        "labels belong to other points",
        ("PF310",),
        lambda: task().but(data=partial(with_labels_shuffled, moons, 32)),
    ),
    _case(
        "sorted", "one class after the other, not shuffled", ("PF307",), lambda: task().but(data=_sorted, shuffle=False)
    ),
    _case("right_only", "the right quarter is validated only", ("PF306",), lambda: task().but(data=_right_only)),
    _case(
        "twenty_points",
        "20 points, five of them wrong, and a network of 512",
        ("PF507",),
        lambda: task(width=512).but(data=_twenty_noisy),
    ),
    _case(
        "dead_relu",
        "biases of the first layer are -10: every ReLU is dead",
        ("PF702", "PF103", "PF107"),
        lambda: task().but(factory=initialized(_small, first_bias_of_minus_10)),
    ),
    _case("zeros", "all weights begin at zero", ("PF107",), lambda: task().but(factory=initialized(_small, zeros))),
    _case(
        "deep_sigmoid",
        "12 layers of sigmoids: no gradient reaches the first",
        ("PF102", "PF107"),
        lambda: task(depth=12, activation="sigmoid"),
    ),
    _case("decay_of_1", "SGD with a weight decay of 1", ("PF409",), lambda: _sgd(0.05, weight_decay=1.0)),
    _case("dropout_of_0.95", "dropout takes 95% of the units", ("PF409",), lambda: task(dropout=0.95)),
    _case("clip_at_1e-4", "gradients are clipped to 1e-4, with SGD", ("PF105",), lambda: _sgd(0.05, clip_norm=1e-4)),
    _case(
        "trunk_not_in_optimizer",
        "only the head is in the optimizer",
        ("PF104",),
        lambda: task().but(lr=0.05, optimizer=_without_first),
    ),
    _case(
        "summed",
        "the loss is summed over a batch of 64, with SGD",
        ("PF406",),
        lambda: _sgd(0.1, losses={"bce": _summed}, batch_size=64),
    ),
    _case(
        "log_of_zero",
        "the cross-entropy by hand takes the logarithm of 0",
        ("PF108",),
        lambda: task().but(losses={"bce": _by_hand}, lr=0.05),
    ),
    _case(
        "warmup_of_ten_runs",
        "the warmup is ten times as long as the run",
        ("PF204",),
        lambda: _sgd(0.05, warmup_steps=10 * STEPS),
    ),
)
