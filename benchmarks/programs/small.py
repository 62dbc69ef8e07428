"""Small data as in questions that people ask: XOR, iris, wine, a curve."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from torch import Tensor, nn

from benchmarks.program import Base, Training
from benchmarks.programs.changes import with_labels_shuffled
from benchmarks.programs.digits_mlp import ACTIVATIONS, Data, digits
from preflight.tasks.metrics import accuracy

LOADERS = {"iris": load_iris, "wine": load_wine, "cancer": load_breast_cancer}
SHAPES = {"iris": (4, 3), "wine": (13, 3), "cancer": (30, 2)}


@lru_cache(maxsize=8)
def flowers(name: str = "iris", standardized: bool = True, shuffled: bool = True) -> Data:
    """A table of scikit-learn in two splits; the files are sorted by class."""
    features, labels = LOADERS[name](return_X_y=True)
    order = np.random.default_rng(2).permutation(len(labels))
    size = 3 * len(labels) // 4
    train = order[:size] if shuffled else np.sort(order[:size])
    if standardized:
        features = (features - features[order[:size]].mean(axis=0)) / features[order[:size]].std(axis=0)
    table, classes = torch.tensor(features, dtype=torch.float32), torch.tensor(labels)
    return (table[train], classes[train]), (table[order[size:]], classes[order[size:]])


def network(name: str = "iris", width: int = 16, activation: str = "relu", norm: bool = False) -> nn.Module:
    """``[B, F]`` -> logits ``[B, C]``."""
    features, classes = SHAPES[name]
    layer = nn.LayerNorm(width) if norm else nn.Identity()
    return nn.Sequential(nn.Linear(features, width), layer, ACTIVATIONS[activation](), nn.Linear(width, classes))


def task(name: str = "iris", **options: Any) -> Training:
    """Adam at 0.01 on standardized columns."""
    return Training(
        factory=partial(network, name, **options),
        data=partial(flowers, name),
        losses={"cross_entropy": F.cross_entropy},
        baseline={"lr": 0.01, "batch_size": 16},
        metric={"function": accuracy, "goal": "maximize", "name": "accuracy"},
        optimizer=torch.optim.Adam,
        horizon_steps=200,
    )


IRIS = Base(
    "iris",
    "small",
    task,
    variants={"relu": {}, "tanh": {"activation": "tanh"}},
    rates={"sgd": (0.03, 0.05), "adam": (0.01, 0.02), "adamw": (0.01, 0.02), "rmsprop": (0.005, 0.01)},
)
WINE = Base(
    "wine",
    "small",
    partial(task, "wine"),
    variants={"relu": {}, "layer_norm": {"norm": True}},
    rates={"sgd": (0.01, 0.02), "adam": (0.003, 0.005), "adamw": (0.003, 0.005), "rmsprop": (0.002, 0.003)},
)
HEALTHY = (*IRIS.healthy(), *WINE.healthy())


def xor(noise: float = 0.0) -> Data:
    """The four points, again and again; ``[N, 2]`` and ``[N, 1]``."""
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(16, 1)
    answer = (points[:, :1] != points[:, 1:]).float()
    return (points, answer), (points, answer)


def xor_network() -> nn.Module:
    """Two sigmoid layers, as in the question."""
    return nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 1), nn.Sigmoid())


def xor_task() -> Training:
    """Adam at 0.05: learned in 250 steps."""
    return Training(
        factory=lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid()),
        data=xor,
        losses={"bce": F.binary_cross_entropy},
        baseline={"lr": 0.05, "batch_size": 4},
        optimizer=torch.optim.Adam,
    )


def power(scaled: bool) -> Data:
    """``x`` from -100 to 100 and its fourth power, as they are or in units of their largest."""
    x = torch.linspace(-100, 100, 1000).unsqueeze(1)
    x = x[torch.randperm(1000, generator=torch.Generator().manual_seed(6))]
    y = x**4
    if scaled:
        x, y = x / 100, y / 1e8
    return (x[:800], y[:800]), (x[800:], y[800:])


def power_task(scaled: bool = True) -> Training:
    """Two layers of 50, a sigmoid and an ELU, with Adam."""
    return Training(
        factory=lambda: nn.Sequential(nn.Linear(1, 50), nn.Sigmoid(), nn.Linear(50, 50), nn.ELU(), nn.Linear(50, 1)),
        data=partial(power, scaled),
        losses={"mse": F.mse_loss},
        baseline={"lr": 0.005 if scaled else 0.001, "batch_size": 32},
        optimizer=torch.optim.Adam,
    )


class OneUnit(nn.Module):
    """A log-softmax over its single unit: the answer is always 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(22, 10), nn.ReLU(), nn.Linear(10, 1))

    def forward(self, values: Tensor) -> Tensor:
        """``[B, 1]``, all zeros."""
        return F.log_softmax(self.layers(values), dim=1)


def binary(scaled: bool = True) -> Data:
    """22 columns of the breast-cancer table and a label ``[N, 1]`` from 0 to 1."""
    (train, labels), (validation, others) = flowers("cancer", scaled)
    return (train[:, :22], labels.float().unsqueeze(1)), (validation[:, :22], others.float().unsqueeze(1))


def binary_task() -> Training:
    """A sigmoid over one unit, as it should be."""
    return Training(
        factory=lambda: nn.Sequential(nn.Linear(22, 10), nn.ReLU(), nn.Linear(10, 1), nn.Sigmoid()),
        data=binary,
        losses={"bce": F.binary_cross_entropy},
        baseline={"lr": 0.1, "batch_size": 16},
        optimizer=torch.optim.SGD,
    )


def _iris_question() -> Training:
    return Training(
        factory=lambda: nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 3)),
        data=partial(flowers, "iris", False),
        losses={"cross_entropy": F.cross_entropy},
        baseline={"lr": 0.1, "batch_size": 1},
        optimizer=torch.optim.SGD,
    )


def _digits_question() -> Training:
    return Training(
        factory=lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10), nn.Sigmoid()),
        data=partial(digits, 255 / 16),
        losses={"cross_entropy": F.cross_entropy},
        baseline={"lr": 1e-3, "batch_size": 32},
        optimizer=torch.optim.Adam,
    )


def _digits_answer() -> Training:
    return _digits_question().but(
        data=digits, factory=lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    )


def _micrometres() -> Data:
    (features, labels), (others, theirs) = flowers("iris", False)
    return (features * 1000, labels), (others * 1000, theirs)


def _softmax_twice() -> nn.Module:
    return nn.Sequential(network(), nn.Softmax(dim=1))


def _cancer_sgd() -> Training:
    return task("cancer").but(lr=0.01, optimizer=torch.optim.SGD)


def _zeros() -> nn.Module:
    model = network("wine")
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


_case: Callable[..., Any] = IRIS.faulty

FAULTY = (
    _case(
        "so_52800582",
        "y = x^4 on [-100, 100] unscaled (Stack Overflow 52800582)",
        ("PF308", "PF301"),
        partial(power_task, False),
        power_task,
    ),
    _case(
        "so_71457035",
        "a log-softmax over one unit and BCELoss, SGD 0.003 (Stack Overflow 71457035)",
        ("PF408",),
        lambda: binary_task().but(factory=OneUnit, lr=0.003),
        binary_task,
    ),
    _case(
        "so_73349963",
        "iris unscaled, 4-3-3, SGD 0.1, batch 1 (Stack Overflow 73349963)",
        ("PF301", "PF201"),
        _iris_question,
    ),
    _case(
        "so_55328966",
        "digits unscaled, a sigmoid before the cross-entropy (Stack Overflow 55328966)",
        ("PF301", "PF407", "PF408"),
        _digits_question,
        _digits_answer,
    ),
    _case(
        "so_31556268",
        "XOR with SGD 0.05 for too few steps (Stack Overflow 31556268)",
        ("PF202", "PF402"),
        lambda: xor_task().but(factory=xor_network, lr=0.05, optimizer=torch.optim.SGD),
        xor_task,
    ),
    _case(
        "iris_sorted",
        "iris as its file has it, sorted and not shuffled",
        ("PF307",),
        lambda: task().but(data=partial(flowers, "iris", True, False), shuffle=False),
    ),
    _case(
        "wine_raw",
        "wine unscaled: columns of 0.1 and of 1,000",
        ("PF301",),
        lambda: task("wine").but(data=partial(flowers, "wine", False)),
        partial(task, "wine"),
    ),
    _case(
        "cancer_raw",
        "breast cancer unscaled: columns from 0.01 to 4,000, SGD 0.01",
        ("PF301",),
        lambda: _cancer_sgd().but(data=partial(flowers, "cancer", False)),
        _cancer_sgd,
    ),
    _case(
        "times_1000",
        "iris in micrometres: thousands",
        ("PF301",),
        lambda: task().but(data=_micrometres),
    ),
    _case(
        "labels_shuffled",
        "iris with labels of other flowers",
        ("PF310",),
        lambda: task().but(data=partial(with_labels_shuffled, flowers, 4)),
    ),
    _case(
        "softmax_twice", "a softmax before the cross-entropy", ("PF408",), lambda: task().but(factory=_softmax_twice)
    ),
    _case(
        "wine_zeros",
        "all weights begin at zero",
        ("PF107",),
        lambda: task("wine").but(factory=_zeros),
        partial(task, "wine"),
    ),
    _case(
        "cancer_decay",
        "SGD with a weight decay of 5",
        ("PF409",),
        lambda: task("cancer").but(lr=0.02, weight_decay=5.0, optimizer=torch.optim.SGD),
        partial(task, "cancer"),
    ),
    _case(
        "wine_sgd_1e-5",
        "SGD at 1e-5",
        ("PF202",),
        lambda: task("wine").but(lr=1e-5, optimizer=torch.optim.SGD),
        partial(task, "wine"),
    ),
    _case("wine_lr_times_1000", "Adam at 3", ("PF201",), lambda: task("wine").but(lr=3.0), partial(task, "wine")),
    _case("lr_by_1000", "Adam at 1e-5", ("PF202",), lambda: task().but(lr=1e-5)),
    _case("sgd_lr_30", "SGD at 30", ("PF201",), lambda: task().but(lr=30.0, optimizer=torch.optim.SGD)),
)
