"""Regression on a table: scikit-learn's Friedman function of ten features."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import make_friedman1
from torch import Tensor, nn

from benchmarks.program import Base, Training
from benchmarks.programs.digits_mlp import ACTIVATIONS, NORMS, Data
from preflight.tasks.metrics import mean_absolute_error

SAMPLES, TRAIN_SIZE, FEATURES = 2000, 1500, 10


@lru_cache(maxsize=1)
def _friedman() -> tuple[Tensor, Tensor]:
    features, target = make_friedman1(SAMPLES, FEATURES, noise=0.5, random_state=4)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    target = (target - target.mean()) / target.std()
    return torch.tensor(features, dtype=torch.float32), torch.tensor(target, dtype=torch.float32)


def rows(
    column: Callable[[Tensor], Tensor] | None = None, target: Callable[[Tensor], Tensor] | None = None, at: int = 9
) -> Data:
    """Features ``[N, 10]`` and target ``[N, 1]`` of unit scale; column ``at`` and the target may be changed."""
    features, values = _friedman()
    if column is not None:
        features = features.clone()
        features[:, at] = column(features[:, at])
    values = (values if target is None else target(values)).unsqueeze(1)
    return (features[:TRAIN_SIZE], values[:TRAIN_SIZE]), (features[TRAIN_SIZE:], values[TRAIN_SIZE:])


def network(
    activation: str = "relu", norm: str = "none", width: int = 64, last: Callable[[], nn.Module] = nn.Identity
) -> nn.Module:
    """``[B, 10]`` -> ``[B, 1]``."""
    function, layer = ACTIVATIONS[activation], NORMS[norm]
    return nn.Sequential(
        nn.Linear(FEATURES, width), layer(width), function(),
        nn.Linear(width, width), layer(width), function(),
        nn.Linear(width, 1), last(),
    )  # fmt: skip


def task(**options: Any) -> Training:
    """Adam at 3e-3 on standardized columns."""
    return Training(
        factory=partial(network, **options),
        data=rows,
        losses={"mse": F.mse_loss},
        baseline={"lr": 3e-3, "batch_size": 32},
        metric={"function": mean_absolute_error, "goal": "minimize", "name": "mean_absolute_error"},
        optimizer=torch.optim.Adam,
    )


BASE = Base(
    "table",
    "regression",
    task,
    variants={"relu": {}, "layer_norm": {"norm": "layer"}, "gelu": {"activation": "gelu"}},
    rates={"sgd": (0.02, 0.03), "adam": (3e-3, 5e-3), "adamw": (3e-3, 5e-3), "rmsprop": (1e-3, 2e-3)},
)
HEALTHY = BASE.healthy()


def _heavy(values: Tensor) -> Tensor:
    """Amounts of money: a lognormal column."""
    return (3.5 * values).exp()


def _numbers(values: Tensor) -> Tensor:
    """Numbers of customers: each row has its own, or shares it with few."""
    return torch.tensor(np.random.default_rng(8).integers(100_000, 104_000, size=len(values)), dtype=torch.float32)


def _constant(values: Tensor) -> Tensor:
    return torch.full_like(values, 7.0)


def _timestamps(values: Tensor) -> Tensor:
    return 1.7e9 + 1e5 * values


def _drifting(values: Tensor) -> Tensor:
    """A sensor that was replaced before the validation rows were taken."""
    return torch.cat([values[:TRAIN_SIZE], 5 + 3 * values[TRAIN_SIZE:]])


def _missing(values: Tensor) -> Tensor:
    values = values.clone()
    values[::97] = float("nan")
    return values


def _by_target() -> Data:
    (features, target), validation = rows()
    order = target.squeeze(1).argsort()
    return (features[order], target[order]), validation


def _mismatched() -> Data:
    (features, target), validation = rows()
    return (features, target.roll(1, dims=0)), validation


def _around_five() -> Data:
    return rows(target=lambda y: 5 + y)


def _flat() -> Data:
    """Targets ``[N]`` for outputs ``[N, 1]``: the loss broadcasts to all pairs."""
    (features, target), (others, theirs) = rows()
    return (features, target.squeeze(1)), (others, theirs.squeeze(1))


def _broadcast(output: Tensor, target: Tensor) -> Tensor:
    return ((output - target) ** 2).mean()


_case = BASE.faulty

FAULTY = (
    _case(
        "heavy_tail",
        "a lognormal column of shape 3.5",
        ("PF302",),
        lambda: task().but(data=partial(rows, _heavy, at=0)),
    ),
    _case(
        "identifier",
        "customers' numbers around 100,000 as a column",
        ("PF303", "PF301"),
        lambda: task().but(data=partial(rows, _numbers)),
    ),
    _case(
        "constant_column",
        "a column that is 7 in every row",
        ("PF304",),
        lambda: task().but(data=partial(rows, _constant)),
    ),
    _case(
        "timestamps",
        "a column of seconds since 1970",
        ("PF301", "PF303"),
        lambda: task().but(data=partial(rows, _timestamps)),
    ),
    _case(
        "drift",
        "a sensor reads 5 deviations higher in the validation rows",
        ("PF306",),
        lambda: task().but(data=partial(rows, _drifting, at=3)),
    ),
    _case("missing_values", "one row in 97 has a NaN", ("PF305",), lambda: task().but(data=partial(rows, _missing))),
    _case(
        "sorted_by_target",
        "sorted by the target and not shuffled",
        ("PF307",),
        lambda: task().but(data=_by_target, shuffle=False),
    ),
    _case("rows_shifted", "targets are those of the row before", ("PF310",), lambda: task().but(data=_mismatched)),
    _case(
        "targets_of_1e6",
        "targets of a million, with deviation 2e5",
        ("PF308",),
        lambda: task().but(data=partial(rows, target=lambda y: 1e6 + 2e5 * y)),
    ),
    _case(
        "broadcast_loss",
        "outputs [B, 1] minus targets [B]: all pairs",
        ("PF401", "PF410", "PF310"),
        lambda: task().but(data=_flat, losses={"mse": _broadcast}, metric=None),
    ),
    _case("sigmoid_head", "a sigmoid for targets of both signs", ("PF407",), lambda: task(last=nn.Sigmoid)),
    _case(
        "so_48251943",
        "a ReLU head for negative targets (Stack Overflow 48251943)",
        ("PF407", "PF702"),
        lambda: task(last=nn.ReLU).but(data=partial(rows, target=lambda y: -5 + y)),
    ),
    _case(
        "targets_of_1e-6",
        "targets with a deviation of a millionth",
        ("PF308",),
        lambda: task().but(data=partial(rows, target=lambda y: 1e-6 * y)),
    ),
    _case(
        "column_times_1e5",
        "a column in other units: 100,000 times as large",
        ("PF301",),
        lambda: task().but(data=partial(rows, lambda values: 1e5 * values, at=1)),
    ),
    _case(
        "decay_of_10",
        "SGD with a weight decay of 10",
        ("PF409",),
        lambda: task().but(lr=0.02, weight_decay=10.0, optimizer=torch.optim.SGD),
    ),
    _case("tanh_for_5", "a tanh for targets around 5", ("PF407",), lambda: task(last=nn.Tanh).but(data=_around_five)),
    _case("lr_times_100", "Adam at 0.3", ("PF201",), lambda: task().but(lr=0.3)),
    _case("sgd_1e-6", "SGD at 1e-6", ("PF202",), lambda: task().but(lr=1e-6, optimizer=torch.optim.SGD)),
)
