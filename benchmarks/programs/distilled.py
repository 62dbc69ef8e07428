"""A student of a fixed teacher: labels, the teacher's logits, and a hint of its features (FitNets, arXiv 1412.6550)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.program import STEPS, Base, Training
from benchmarks.programs.changes import changed, frozen, scaled, shuffled, with_field, with_loss
from benchmarks.programs.digits_mlp import ACTIVATIONS

FEATURES, CLASSES, HINTS, SAMPLES, TRAIN_SIZE, TEMPERATURE = 10, 4, 6, 2400, 1800, 2.0


@lru_cache(maxsize=2)
def lesson() -> Any:
    """Points ``[N, 10]``; the label ``[N]``, the teacher's logits ``[N, 4]`` and features ``[N, 6]``."""
    rng = np.random.default_rng(53)
    points = rng.normal(size=(SAMPLES, FEATURES))
    hints = np.tanh(points @ rng.normal(size=(FEATURES, HINTS)) / 2)
    logits = 2.5 * hints @ rng.normal(size=(HINTS, CLASSES))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    table = {
        "point": torch.tensor(points, dtype=torch.float32),
        "label": torch.tensor(labels),
        "teacher": torch.tensor(logits, dtype=torch.float32),
        "hint": torch.tensor(hints / hints.std(), dtype=torch.float32),
    }
    train = {name: values[:TRAIN_SIZE] for name, values in table.items()}
    return train, {name: values[TRAIN_SIZE:] for name, values in table.items()}


class Student(nn.Module):
    """``[B, 10]`` -> ``{"logits": [B, 4], "hint": [B, 6]}``."""

    def __init__(self, activation: str = "relu", norm: bool = False, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        function = ACTIVATIONS[activation]
        layer = nn.LayerNorm if norm else lambda _: nn.Identity()
        self.trunk = nn.Sequential(
            nn.Linear(FEATURES, width), layer(width), function(), nn.Linear(width, width), function()
        )
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, CLASSES)
        self.regressor = nn.Linear(width, HINTS)

    def forward(self, point: Tensor) -> dict[str, Tensor]:
        """Logits and what is compared with the teacher's features."""
        shared = self.drop(self.trunk(point))
        return {"logits": self.head(shared), "hint": self.regressor(shared)}


def divergence(output: Tensor, target: Tensor) -> Tensor:
    """From the teacher's softened distribution (Hinton et al., arXiv 1503.02531)."""
    student, teacher = (F.log_softmax(logits / TEMPERATURE, dim=1) for logits in (output, target))
    return TEMPERATURE**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


LOSSES: Mapping[str, Mapping[str, Any]] = {
    "label": {"function": F.cross_entropy, "output": "logits", "target": "label"},
    "teacher": {"function": divergence, "output": "logits", "target": "teacher"},
    "hint": {"function": F.mse_loss, "output": "hint", "target": "hint"},
}


def task(**options: Any) -> Training:
    """Adam at 3e-3; the teacher counts as much as the labels, the hint a half."""
    return Training(
        factory=partial(Student, **options),
        data=lesson,
        losses=LOSSES,
        baseline={"lr": 3e-3, "batch_size": 32, "loss_weights.hint": 0.5},
        inputs=("point",),
        targets=("label", "teacher", "hint"),
        optimizer=torch.optim.Adam,
    )


BASE = Base(
    "distilled",
    "multi-loss",
    task,
    variants={"relu": {}, "layer_norm": {"norm": True}, "tanh": {"activation": "tanh"}},
    rates={"sgd": (0.02, 0.05), "adam": (3e-3, 5e-3), "adamw": (3e-3, 5e-3), "rmsprop": (2e-3, 3e-3)},
)
HEALTHY = BASE.healthy()


class Behind(Student):
    """What its author put behind the logits."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, point: Tensor) -> dict[str, Tensor]:
        """Logits and hint."""
        found = super().forward(point)
        return {**found, "logits": self.function(found["logits"])}


class OfConstants(Student):
    """The hint is read off the weights alone: the regressor gets ones."""

    def forward(self, point: Tensor) -> dict[str, Tensor]:
        """Logits and hint."""
        shared = self.trunk(point)
        return {"logits": self.head(shared), "hint": self.regressor(torch.ones_like(shared))}


def _equal_units(model: nn.Module) -> None:
    for parameter in model.get_submodule("trunk").parameters():
        parameter.fill_(0.05)


def _away(output: Tensor, target: Tensor) -> Tensor:
    return divergence(output, -target)


def _of_logits(output: Tensor, target: Tensor) -> Tensor:
    """Without the logarithm of the student's softmax."""
    return F.kl_div(output, F.softmax(target, dim=1), reduction="batchmean")


def _of_probabilities(output: Tensor, target: Tensor) -> Tensor:
    """A softmax before the cross-entropy, inside of a loss of one's own."""
    return F.cross_entropy(F.softmax(output, dim=1), target)


def _with_penalty(output: Tensor, target: Tensor) -> Tensor:
    """The hint, and the size of what is compared with it, which counts a thousand."""
    return F.mse_loss(output, target) + 1000 * output.square().mean()


def _without_head(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    """The trunk and the regressor: the head's two tensors come fifth and sixth."""
    return torch.optim.Adam([{**group, "params": [*group["params"][:4], *group["params"][6:]]} for group in groups], lr)


_case = BASE.faulty

FAULTY = (
    _case("lr_times_100", "Adam at 0.3", ("PF201",), lambda: task().but(lr=0.3)),
    _case("lr_by_1000", "Adam at 3e-6", ("PF202",), lambda: task().but(lr=3e-6)),
    _case(
        "points_raw",
        "points around 5,000 with deviation 1,000",
        ("PF301",),
        lambda: task().but(data=with_field(lesson, "point", lambda point: 5000 + 1000 * point)),
    ),
    _case(
        "hints_raw",
        "hints in thousandths",
        ("PF308", "PF403"),
        lambda: task().but(data=with_field(lesson, "hint", lambda hint: 1000 * hint)),
    ),
    _case("hint_times_1e4", "the hint counts 10,000", ("PF403",), lambda: task().but(**{"loss_weights.hint": 1e4})),
    _case(
        "teacher_times_1e6",
        "the teacher counts a million",
        ("PF403",),
        lambda: task().but(**{"loss_weights.teacher": 1e6}),
    ),
    _case(
        "hint_summed",
        "the loss of the hint is summed over features and batch",
        ("PF406", "PF403"),
        lambda: task().but(losses=with_loss(LOSSES, "hint", partial(F.mse_loss, reduction="sum"))),
    ),
    _case(
        "labels_shuffled",
        "labels belong to other points",
        ("PF310",),
        lambda: task().but(data=with_field(lesson, "label", shuffled, everywhere=False)),
    ),
    _case(
        "teacher_shuffled",
        "the teacher's logits belong to other points",
        ("PF310",),
        lambda: task().but(data=with_field(lesson, "teacher", shuffled, everywhere=False)),
    ),
    _case(
        "hints_rolled",
        "the hints are three rows off",
        ("PF310",),
        lambda: task().but(data=with_field(lesson, "hint", partial(torch.roll, shifts=3, dims=0))),
    ),
    _case(
        "teacher_negated",
        "the teacher's logits have the wrong sign in the loss",
        ("PF404",),
        lambda: task().but(losses=with_loss(LOSSES, "teacher", _away)),
    ),
    _case(
        "head_frozen", "the head is frozen", ("PF104",), lambda: task().but(factory=changed(Student, frozen("head")))
    ),
    _case(
        "head_not_in_optimizer",
        "the head is not in the optimizer",
        ("PF104",),
        lambda: task().but(optimizer=_without_head),
    ),
    _case(
        "tanh_for_logits",
        "a tanh behind the logits",
        ("PF407",),
        lambda: task().but(factory=partial(Behind, torch.tanh)),
    ),
    _case(
        "softmax_for_logits",
        "a softmax behind the logits",
        ("PF408",),
        lambda: task().but(factory=partial(Behind, partial(torch.softmax, dim=1))),
    ),
    _case(
        "softmax_inside_loss",
        "a softmax before the cross-entropy, inside the loss",
        ("PF408", "PF407"),
        lambda: task().but(losses=with_loss(LOSSES, "label", _of_probabilities)),
    ),
    _case(
        "divergence_of_logits",
        "the divergence takes logits for log-probabilities",
        ("PF408", "PF404"),
        lambda: task().but(losses=with_loss(LOSSES, "teacher", _of_logits)),
    ),
    _case(
        "hint_of_ones",
        "the regressor gets ones in place of the features",
        ("PF410", "PF104"),
        lambda: task().but(factory=OfConstants),
    ),
    _case(
        "teacher_says_one",
        "the teacher's logits were never filled in",
        ("PF304",),
        lambda: task().but(data=with_field(lesson, "teacher", torch.ones_like)),
    ),
    _case(
        "label_of_one_class",
        "all labels are zero",
        ("PF304",),
        lambda: task().but(data=with_field(lesson, "label", torch.zeros_like)),
    ),
    _case(
        "hint_penalized",
        "a penalty on the size of the hint counts a thousand",
        ("PF409", "PF401"),
        lambda: task().but(losses=with_loss(LOSSES, "hint", _with_penalty)),
    ),
    _case(
        "decay_of_10",
        "weight decay of 10",
        ("PF409",),
        lambda: task().but(optimizer=torch.optim.AdamW, weight_decay=10.0),
    ),
    _case("dropout_of_97", "97% of the features are dropped", ("PF409",), lambda: task(dropout=0.97)),
    _case(
        "trunk_times_50",
        "the trunk begins fifty times too large",
        ("PF107", "PF405"),
        lambda: task().but(factory=changed(Student, scaled("trunk", 50.0))),
    ),
    _case(
        "regressor_times_300",
        "the regressor begins three hundred times too large",
        ("PF107", "PF405"),
        lambda: task().but(factory=changed(Student, scaled("regressor", 300.0))),
    ),
    _case(
        "units_equal",
        "all weights of the trunk begin at 0.05",
        ("PF107",),
        lambda: task().but(factory=changed(Student, _equal_units)),
    ),
    _case(
        "warmup_of_ten_runs",
        "the warmup is ten times as long as the run",
        ("PF204",),
        lambda: task().but(warmup_steps=10 * STEPS),
    ),
)
