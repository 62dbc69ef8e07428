"""Two tasks on one trunk: which wave it is, and how strong."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.program import Base, Training
from benchmarks.programs.digits_mlp import ACTIVATIONS

Head = Callable[[Tensor], Tensor]
FEATURES, CLASSES, SAMPLES, TRAIN_SIZE = 12, 5, 2400, 1800


@lru_cache(maxsize=4)
def clusters(unit: float = 1.0) -> Any:
    """Points ``[N, 12]`` about five centres; the kind ``[N]``, and a smooth function of the point ``[N]``."""
    rng = np.random.default_rng(31)
    centres = rng.normal(scale=1.2, size=(CLASSES, FEATURES))
    kinds = rng.integers(CLASSES, size=SAMPLES)
    points = centres[kinds] + rng.normal(scale=1.0, size=(SAMPLES, FEATURES))
    points = (points - points.mean(axis=0)) / points.std(axis=0)
    weights = rng.normal(size=(FEATURES, 3))
    strength = np.tanh(points @ weights / 2).sum(axis=1)
    strength = (strength - strength.mean()) / strength.std() + 0.1 * rng.normal(size=SAMPLES)
    table = {
        "point": torch.tensor(points, dtype=torch.float32),
        "kind": torch.tensor(kinds),
        "strength": torch.tensor(strength * unit, dtype=torch.float32),
    }
    train = {name: values[:TRAIN_SIZE] for name, values in table.items()}
    return train, {name: values[TRAIN_SIZE:] for name, values in table.items()}


class Shared(nn.Module):
    """``[B, 12]`` -> ``{"kind": [B, 5], "strength": [B]}``."""

    def __init__(self, activation: str = "relu", norm: bool = False, width: int = 64) -> None:
        super().__init__()
        function = ACTIVATIONS[activation]
        layer = nn.LayerNorm if norm else lambda _: nn.Identity()
        self.trunk = nn.Sequential(
            nn.Linear(FEATURES, width), layer(width), function(), nn.Linear(width, width), layer(width), function()
        )
        self.kind = nn.Linear(width, CLASSES)
        self.strength = nn.Linear(width, 1)

    def forward(self, point: Tensor) -> dict[str, Tensor]:
        """Both heads."""
        shared = self.trunk(point)
        return {"kind": self.kind(shared), "strength": self.strength(shared).squeeze(1)}


LOSSES = {
    "class": {"function": F.cross_entropy, "output": "kind", "target": "kind"},
    "regression": {"function": F.mse_loss, "output": "strength", "target": "strength"},
}


def task(**options: Any) -> Training:
    """Adam at 3e-3, both losses alike."""
    return Training(
        factory=partial(Shared, **options),
        data=clusters,
        losses=LOSSES,
        baseline={"lr": 3e-3, "batch_size": 32},
        inputs=("point",),
        targets=("kind", "strength"),
        optimizer=torch.optim.Adam,
    )


BASE = Base(
    "multitask",
    "multi-loss",
    task,
    variants={"relu": {}, "layer_norm": {"norm": True}, "tanh": {"activation": "tanh"}},
    rates={"sgd": (0.02, 0.05), "adam": (3e-3, 5e-3), "adamw": (3e-3, 5e-3), "rmsprop": (1e-3, 2e-3)},
)
HEALTHY = BASE.healthy()


class Opposed(nn.Module):
    """One output for two losses that want opposite values of it."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, point: Tensor) -> Tensor:
        """``[B]``."""
        return self.trunk(point).squeeze(1)


def _opposite(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, -target)


def _detached() -> nn.Module:
    model = Shared()
    for parameter in model.strength.parameters():
        parameter.requires_grad_(False)
    return model


def _kind_frozen() -> nn.Module:
    model = Shared()
    model.kind.requires_grad_(False)
    return model


def _kinds_shuffled() -> Any:
    train, validation = clusters()
    order = torch.randperm(TRAIN_SIZE, generator=torch.Generator().manual_seed(3))
    return {**train, "kind": train["kind"][order]}, validation


def _points_raw() -> Any:
    return tuple({**part, "point": 5000 + 1000 * part["point"]} for part in clusters())


def _summed(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="sum")


def _as_it_is(output: Tensor) -> Tensor:
    return output


class Headed(Shared):
    """What its author put behind either head."""

    def __init__(self, kind: Head = _as_it_is, strength: Head = _as_it_is) -> None:
        super().__init__()
        self.behind = {"kind": kind, "strength": strength}

    def forward(self, point: Tensor) -> dict[str, Tensor]:
        """Both heads."""
        return {name: self.behind[name](output) for name, output in super().forward(point).items()}


def _without_strength(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam([{**group, "params": group["params"][:-2]} for group in groups], lr=lr)


OPPOSED = {
    "towards": {"function": F.mse_loss, "target": "strength"},
    "away": {"function": _opposite, "target": "strength"},
}
_case = BASE.faulty

FAULTY = (
    _case(
        "regression_times_1e6",
        "the regression counts a million",
        ("PF403",),
        lambda: task().but(**{"loss_weights.regression": 1e6}),
    ),
    _case(
        "class_by_1e6", "the classification counts 1e-6", ("PF403",), lambda: task().but(**{"loss_weights.class": 1e-6})
    ),
    _case(
        "raw_strength",
        "the strength is given in thousandths: its loss is a million",
        ("PF308", "PF403"),
        lambda: task().but(data=partial(clusters, 1e3)),
    ),
    _case(
        "opposed", "two losses want opposite outputs", ("PF404",), lambda: task().but(factory=Opposed, losses=OPPOSED)
    ),
    _case(
        "strength_not_in_optimizer",
        "the second head is not in the optimizer",
        ("PF104",),
        lambda: task().but(optimizer=_without_strength),
    ),
    _case("strength_frozen", "the second head is frozen", ("PF104",), lambda: task().but(factory=_detached)),
    _case("kind_frozen", "the first head is frozen", ("PF104",), lambda: task().but(factory=_kind_frozen)),
    _case(
        "regression_by_1e4",
        "the regression counts 1e-4",
        ("PF403",),
        lambda: task().but(**{"loss_weights.regression": 1e-4}),
    ),
    _case("kinds_shuffled", "kinds belong to other points", ("PF310",), lambda: task().but(data=_kinds_shuffled)),
    _case("points_raw", "points around 5,000 with deviation 1,000", ("PF301",), lambda: task().but(data=_points_raw)),
    _case(
        "sigmoid_for_strength",
        "a sigmoid for a strength of both signs",
        ("PF407",),
        lambda: task().but(factory=partial(Headed, strength=torch.sigmoid)),
    ),
    _case(
        "softmax_for_kind",
        "a softmax before the cross-entropy",
        ("PF408",),
        lambda: task().but(factory=partial(Headed, kind=partial(torch.softmax, dim=1))),
    ),
    _case(
        "class_summed",
        "the cross-entropy is summed over the batch",
        ("PF406", "PF403"),
        lambda: task().but(losses={**LOSSES, "class": {**LOSSES["class"], "function": _summed}}),
    ),
    _case("lr_times_100", "Adam at 0.3", ("PF201",), lambda: task().but(lr=0.3)),
    _case("lr_by_1000", "Adam at 3e-6", ("PF202",), lambda: task().but(lr=3e-6)),
)
