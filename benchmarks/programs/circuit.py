"""The impedance of a circuit from four quantities in units of their own: scikit-learn's second Friedman function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.datasets import make_friedman2
from torch import Tensor, nn

from benchmarks.program import Base, Training
from benchmarks.programs.perceptron import (
    first_bias_of_minus_10,
    frozen_at_a_hundredth,
    initialized,
    perceptron,
    summed_square,
    zeros,
)

SAMPLES, TRAIN_SIZE = 1600, 1200
QUANTITIES = ("resistance", "frequency", "inductance", "capacity")
Table = dict[str, Tensor]
Change = Callable[[Tensor], Tensor]


@lru_cache(maxsize=1)
def _friedman() -> Table:
    """Quantities ``[N]`` as they are, and the impedance ``[N]`` with a noise of 0.4 of its deviation."""
    features, target = make_friedman2(SAMPLES, noise=150.0, random_state=11)
    columns = torch.tensor(features, dtype=torch.float32).unbind(1)
    return {**dict(zip(QUANTITIES, columns, strict=True)), "impedance": torch.tensor(target, dtype=torch.float32)}


def _standardized(values: Tensor) -> Tensor:
    return (values - values[:TRAIN_SIZE].mean()) / values[:TRAIN_SIZE].std()


def circuits(changes: Mapping[str, Change] | None = None, raw: bool = False) -> tuple[Table, Table]:
    """Both splits, of unit scale unless the quantities are ``raw``; columns may be changed afterwards."""
    table = {name: values if raw and name in QUANTITIES else _standardized(values) for name, values in _known()}
    table |= {name: change(table.get(name, table["resistance"])) for name, change in (changes or {}).items()}
    train = {name: values[:TRAIN_SIZE] for name, values in table.items()}
    return train, {name: values[TRAIN_SIZE:] for name, values in table.items()}


def _known() -> tuple[tuple[str, Tensor], ...]:
    return tuple(_friedman().items())


class Circuit(nn.Module):
    """Quantities ``[B]`` -> impedance ``[B]``."""

    def __init__(self, inputs: int = 4, **options: Any) -> None:
        super().__init__()
        self.layers = perceptron(inputs, **options)

    def forward(self, *quantities: Tensor) -> Tensor:
        """Impedance."""
        return self.layers(torch.stack(quantities, dim=1)).squeeze(1)


class Deaf(Circuit):
    """The quantities are multiplied by a mask that is never switched on."""

    def forward(self, *quantities: Tensor) -> Tensor:
        """Impedance of nothing."""
        return super().forward(*(0.0 * values for values in quantities))


def task(**options: Any) -> Training:
    """Adam at 3e-3 on standardized quantities."""
    return Training(
        factory=partial(Circuit, **options),
        data=circuits,
        losses={"mse": F.mse_loss},
        baseline={"lr": 3e-3, "batch_size": 32},
        inputs=QUANTITIES,
        targets=("impedance",),
        optimizer=torch.optim.Adam,
    )


BASE = Base(
    "circuit",
    "regression",
    task,
    variants={"relu": {}, "layer_norm": {"norm": "layer"}, "tanh": {"activation": "tanh"}},
    rates={"sgd": (0.02, 0.01), "adam": (3e-3, 2e-3), "adamw": (3e-3, 2e-3), "rmsprop": (1e-3, 2e-3)},
)
HEALTHY = BASE.healthy()


def _with(**changes: Change) -> Callable[[], Any]:
    return partial(circuits, changes)


def _shuffled(values: Tensor) -> Tensor:
    order = torch.randperm(TRAIN_SIZE, generator=torch.Generator().manual_seed(12))
    return torch.cat([values[:TRAIN_SIZE][order], values[TRAIN_SIZE:]])


def _ordered(by: str) -> Any:
    train, validation = circuits()
    order = train[by].argsort()
    return {name: values[order] for name, values in train.items()}, validation


def _by_frequency() -> Any:
    """Low frequencies are trained and high ones validated."""
    train, validation = circuits()
    table = {name: torch.cat([train[name], validation[name]]) for name in train}
    order = table["frequency"].argsort()
    return tuple({name: values[part] for name, values in table.items()} for part in order.split(TRAIN_SIZE))


def _serial_numbers(values: Tensor) -> Tensor:
    return torch.randperm(40_000, generator=torch.Generator().manual_seed(13))[: len(values)].float()


def _without_head(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam([{**group, "params": group["params"][:-2]} for group in groups], lr=lr)


def _sgd(**changes: Any) -> Training:
    return task().but(lr=0.02, optimizer=torch.optim.SGD, **changes)


_case = BASE.faulty

FAULTY = (
    _case(
        "own_units",
        "ohms, hertz, henries and farads as they are: from 0.5 to 1,000",
        ("PF301",),
        lambda: task().but(data=partial(circuits, raw=True)),
    ),
    _case(
        "raw_impedance",
        "the impedance in hundredths of an ohm: around 50,000",
        ("PF308",),
        lambda: task().but(data=_with(impedance=lambda z: 5e4 + 3.7e4 * z)),
    ),
    _case(
        "impedance_times_1e4",
        "the impedance 10,000 times too large, with SGD",
        ("PF308",),
        lambda: _sgd(data=_with(impedance=lambda z: 1e4 * z)),
    ),
    _case(
        "heavy_frequency",
        "the frequency as a lognormal amount of shape 4",
        ("PF302",),
        lambda: task().but(data=_with(frequency=lambda f: (4 * f).exp())),
    ),
    _case(
        "serial_number",
        "the serial number of the circuit as a fifth quantity",
        ("PF303", "PF301"),
        lambda: task(inputs=5).but(data=_with(serial=_serial_numbers), inputs=(*QUANTITIES, "serial")),
    ),
    _case(
        "inductance_missing",
        "a failed join: the inductance is 0 everywhere",
        ("PF304",),
        lambda: task().but(data=_with(inductance=torch.zeros_like)),
    ),
    _case(
        "impedances_shuffled",
        "impedances belong to other circuits",
        ("PF310",),
        lambda: task().but(data=_with(impedance=_shuffled)),
    ),
    _case(
        "impedances_two_off",
        "impedances are those of two rows before",
        ("PF310",),
        lambda: task().but(data=_with(impedance=lambda z: z.roll(2))),
    ),
    _case(
        "sorted_by_impedance",
        "sorted by the target and not shuffled",
        ("PF307",),
        lambda: task().but(data=partial(_ordered, "impedance"), shuffle=False),
    ),
    _case("sigmoid_head", "a sigmoid for targets of both signs", ("PF407",), lambda: task(last=nn.Sigmoid)),
    _case("relu_head", "a ReLU for targets of both signs", ("PF407", "PF702"), lambda: task(last=nn.ReLU)),
    _case(
        "dead_relu",
        "biases of the first layer are -10: every ReLU is dead",
        ("PF702", "PF103", "PF107"),
        lambda: task().but(factory=initialized(Circuit, first_bias_of_minus_10)),
    ),
    _case("zeros", "all weights begin at zero", ("PF107",), lambda: task().but(factory=initialized(Circuit, zeros))),
    _case(
        "summed",
        "the squared error is summed over a batch of 64, with SGD",
        ("PF406",),
        lambda: _sgd(losses={"mse": summed_square}, batch_size=64),
    ),
    _case("decay_of_1", "SGD with a weight decay of 1", ("PF409",), lambda: _sgd(weight_decay=1.0)),
    _case(
        "other_frequencies",
        "the lower three quarters of the frequencies are trained, the upper one validated",
        ("PF306",),
        lambda: task().but(data=_by_frequency),
    ),
    _case("clip_at_1e-4", "gradients are clipped to 1e-4, with SGD", ("PF105",), lambda: _sgd(clip_norm=1e-4)),
    _case(
        "first_layer_frozen",
        "the first layer is frozen at a hundredth of its usual weights",
        ("PF104",),
        lambda: task().but(factory=initialized(Circuit, frozen_at_a_hundredth)),
    ),
    _case(
        "head_not_in_optimizer",
        "the head is not in the optimizer",
        ("PF104",),
        lambda: task().but(optimizer=_without_head),
    ),
    _case("dropout_of_0.95", "dropout takes 95% of the units", ("PF409",), lambda: task(dropout=0.95)),
    _case("deaf", "the quantities are masked out", ("PF410",), lambda: task().but(factory=Deaf)),
    _case("lr_times_100", "Adam at 0.3", ("PF201",), lambda: task().but(lr=0.3)),
    _case("lr_by_1000", "Adam at 3e-6", ("PF202",), lambda: task().but(lr=3e-6)),
)
