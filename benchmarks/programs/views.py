"""Two views of every digit, told from the views of the others of a batch (InfoNCE, arXiv 2002.05709)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.program import OPTIMIZERS, Base, Training
from benchmarks.programs.changes import changed, frozen, shuffled
from benchmarks.programs.digits_mlp import ACTIVATIONS, digits
from benchmarks.programs.embedders import always_warming_up, collapsed, dead_relu, first_layer, shifted

Split = dict[str, Tensor]
Pair = dict[str, Tensor]
VIEWS = ("first", "second")


def _view(pixels: Tensor, seed: int) -> Tensor:
    """Digits ``[N, 64]`` moved by a pixel at most, with noise."""
    draw = torch.Generator().manual_seed(seed)
    images = pixels.reshape(-1, 8, 8)
    moves = torch.randint(-1, 2, (len(images), 2), generator=draw)
    moved = torch.stack(
        [image.roll((int(x), int(y)), dims=(0, 1)) for image, (x, y) in zip(images, moves, strict=True)]
    )
    return moved.flatten(1) + 0.1 * torch.randn(pixels.shape, generator=draw)


@lru_cache(maxsize=1)
def pairs() -> tuple[Split, Split]:
    """Views ``first`` and ``second`` of every digit, and its label, which no loss looks at."""
    parts = enumerate(digits())
    train, validation = (
        {"first": _view(pixels, 2 * number), "second": _view(pixels, 2 * number + 1), "label": labels}
        for number, (pixels, labels) in parts
    )
    return train, validation


class Encoder(nn.Module):
    """Both views ``[B, 64]`` -> their directions ``[B, 16]``, by one network."""

    def __init__(
        self, activation: str = "relu", norm: bool = False, shift: float = 0.0, rectified: bool = False
    ) -> None:
        super().__init__()
        first = first_layer(128, activation, norm)
        self.trunk = nn.Sequential(*first, nn.Linear(128, 64), ACTIVATIONS[activation]())
        self.projection = shifted(nn.Linear(64, 16), shift)
        self.last = nn.ReLU() if rectified else nn.Identity()

    def forward(self, first: Tensor, second: Tensor) -> Pair:
        """Of either view."""
        return {"first": self.embed(first), "second": self.embed(second)}

    def embed(self, view: Tensor) -> Tensor:
        """``[B, 64]`` -> ``[B, 16]``."""
        return F.normalize(self.last(self.projection(self.trunk(view))), dim=1)


def info_nce(output: Pair, _label: Tensor, temperature: float = 0.2, reduction: str = "mean") -> Tensor:
    """Which of the second views of the batch belongs to a first one, and the other way round."""
    logits = output["first"] @ output["second"].T / temperature
    own = torch.arange(len(logits), device=logits.device)
    there, back = (F.cross_entropy(item, own, reduction=reduction) for item in (logits, logits.T))
    return (there + back) / 2


def task(**options: Any) -> Training:
    """Adam at 3e-3, batches of 64."""
    return Training(
        factory=partial(Encoder, **options),
        data=pairs,
        losses={"info_nce": info_nce},
        baseline={"lr": 3e-3, "batch_size": 64},
        inputs=VIEWS,
        targets=("label",),
        optimizer=torch.optim.Adam,
        horizon_steps=200,
    )


BASE = Base(
    "views",
    "contrastive",
    task,
    variants={"relu": {}, "layer_norm": {"norm": True}, "gelu": {"activation": "gelu"}},
    rates={"sgd": (0.03, 0.02), "adam": (3e-3, 5e-3), "adamw": (3e-3, 5e-3), "rmsprop": (1e-3, 2e-3)},
)
HEALTHY = BASE.healthy()


def _without_projection(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam([{**group, "params": group["params"][:-2]} for group in groups], lr=lr)


def _second(change: Callable[[Split], Tensor]) -> tuple[Split, Split]:
    train, validation = ({**part, "second": change(part)} for part in pairs())
    return train, validation


def _shuffled() -> tuple[Split, Split]:
    return _second(lambda part: shuffled(part["second"], 4))


def _identical() -> tuple[Split, Split]:
    return _second(lambda part: part["first"])


def _constant() -> tuple[Split, Split]:
    return _second(lambda part: torch.zeros_like(part["second"]))


def _raw() -> tuple[Split, Split]:
    train, validation = ({**part, **{name: 25500 * part[name] for name in VIEWS}} for part in pairs())
    return train, validation


def _with(loss: Callable[..., Tensor], **changes: Any) -> Training:
    return task().but(losses={"info_nce": loss}, **changes)


_case = BASE.faulty

FAULTY = (
    _case(
        "temperature_1e-4",
        "a temperature of 1e-4: logits of thousands",
        ("PF405", "PF101"),
        lambda: _with(partial(info_nce, temperature=1e-4)),
    ),
    _case(
        "temperature_1e5",
        "a temperature of 1e5: all pairs look alike, and always will",
        ("PF402", "PF401"),
        lambda: _with(partial(info_nce, temperature=1e5)),
    ),
    collapsed(BASE),
    dead_relu(BASE),
    _case("lr_times_300", "Adam at 0.9", ("PF201",), lambda: task().but(lr=0.9)),
    _case("lr_by_1000", "Adam at 3e-6", ("PF202",), lambda: task().but(lr=3e-6)),
    _case("raw", "pixels from 0 to 25,500", ("PF301",), lambda: task().but(data=_raw)),
    _case("pairs_shuffled", "second views belong to other digits", ("PF310",), lambda: task().but(data=_shuffled)),
    _case("identical", "the second view is the first one", ("PF304", "PF405"), lambda: task().but(data=_identical)),
    _case(
        "second_constant",
        "the second view is lost: all of it is zero",
        ("PF304", "PF410", "PF401"),
        lambda: task().but(data=_constant),
    ),
    _case(
        "projection_frozen",
        "the projection is frozen",
        ("PF104",),
        lambda: task().but(factory=changed(Encoder, frozen("projection"))),
    ),
    _case(
        "projection_not_in_optimizer",
        "the projection is not in the optimizer",
        ("PF104",),
        lambda: task().but(optimizer=_without_projection),
    ),
    _case(
        "summed",
        "the loss is summed over the batch, with SGD",
        ("PF406", "PF201"),
        lambda: _with(partial(info_nce, reduction="sum"), optimizer=OPTIMIZERS["sgd"], lr=0.03),
    ),
    always_warming_up(BASE),
    _case(
        "weight_decay_100",
        "AdamW with a decay of 100",
        ("PF409",),
        lambda: task().but(optimizer=torch.optim.AdamW, weight_decay=100.0),
    ),
)
