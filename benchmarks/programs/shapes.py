"""Three tasks on one convolution trunk: which shape is in the image, in which box, and which pixels are its own."""

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

SIDE, KINDS, SAMPLES, TRAIN_SIZE = 12, 3, 1600, 1200


def _shape(kind: int, rows: np.ndarray[Any, Any], columns: np.ndarray[Any, Any], half: int) -> np.ndarray[Any, Any]:
    """Pixels of a square, a disc or a cross, by their distance from its centre."""
    inside = (abs(rows) <= half) & (abs(columns) <= half)
    if kind == 1:
        return inside & (rows**2 + columns**2 <= half**2)
    return inside & ((rows == 0) | (columns == 0)) if kind == 2 else inside


@lru_cache(maxsize=8)
def pictures() -> Any:
    """Images ``[N, 1, 12, 12]``; the kind ``[N]``, the box ``[N, 4]`` (centre, size), the mask ``[N, 1, 12, 12]``."""
    rng = np.random.default_rng(41)
    kinds, halves = rng.integers(KINDS, size=SAMPLES), rng.integers(2, 5, size=SAMPLES)
    centres = np.stack([rng.integers(half, SIDE - half, size=2) for half in halves])
    grid = np.arange(SIDE)
    masks = np.stack(
        [
            _shape(kind, grid[:, None] - y, grid[None, :] - x, half)
            for kind, half, (y, x) in zip(kinds, halves, centres, strict=True)
        ]
    )[:, None]
    images = masks * rng.uniform(0.7, 1.3, size=(SAMPLES, 1, 1, 1)) + 0.2 * rng.normal(size=masks.shape)
    sizes = (2.0 * halves + 1)[:, None]
    boxes = np.concatenate([centres - (SIDE - 1) / 2, sizes - sizes.mean(), sizes - sizes.mean()], axis=1)
    boxes = boxes / boxes.std(axis=0)
    table = {
        "image": torch.tensor((images - images.mean()) / images.std(), dtype=torch.float32),
        "kind": torch.tensor(kinds),
        "box": torch.tensor(boxes, dtype=torch.float32),
        "mask": torch.tensor(masks, dtype=torch.float32),
    }
    train = {name: values[:TRAIN_SIZE] for name, values in table.items()}
    return train, {name: values[TRAIN_SIZE:] for name, values in table.items()}


class Detector(nn.Module):
    """``[B, 1, 12, 12]`` -> ``{"kind": [B, 3], "box": [B, 4], "mask": [B, 1, 12, 12]}``."""

    def __init__(self, activation: str = "relu", norm: bool = False, width: int = 16) -> None:
        super().__init__()
        function = ACTIVATIONS[activation]
        layer = nn.BatchNorm2d if norm else lambda _: nn.Identity()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            layer(width),
            function(),
            nn.Conv2d(width, width, 3, padding=1, stride=2),
            layer(width),
            function(),
        )
        self.kind = nn.Sequential(nn.Flatten(), nn.Linear(36 * width, 32), function(), nn.Linear(32, KINDS))
        self.box = nn.Sequential(nn.Flatten(), nn.Linear(36 * width, 32), function(), nn.Linear(32, 4))
        self.mask = nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """All heads."""
        shared = self.trunk(image)
        return {"kind": self.kind(shared), "box": self.box(shared), "mask": self.mask(shared)}


LOSSES: Mapping[str, Mapping[str, Any]] = {
    "class": {"function": F.cross_entropy, "output": "kind", "target": "kind"},
    "box": {"function": F.smooth_l1_loss, "output": "box", "target": "box"},
    "mask": {"function": F.binary_cross_entropy_with_logits, "output": "mask", "target": "mask"},
}


def task(**options: Any) -> Training:
    """Adam at 3e-3, all losses alike."""
    return Training(
        factory=partial(Detector, **options),
        data=pictures,
        losses=LOSSES,
        baseline={"lr": 3e-3, "batch_size": 32},
        inputs=("image",),
        targets=("kind", "box", "mask"),
        optimizer=torch.optim.Adam,
    )


BASE = Base(
    "shapes",
    "multi-loss",
    task,
    variants={"relu": {}, "batch_norm": {"norm": True}, "tanh": {"activation": "tanh"}},
    rates={"sgd": (0.05, 0.04), "adam": (3e-3, 5e-3), "adamw": (3e-3, 5e-3), "rmsprop": (2e-3, 3e-3)},
)
HEALTHY = BASE.healthy()


class Headed(Detector):
    """What its author put behind its heads."""

    def __init__(self, **behind: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.behind = behind

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """All heads."""
        found = super().forward(image)
        return {name: self.behind[name](output) if name in self.behind else output for name, output in found.items()}


class BoxOfNoise(Detector):
    """The box is told from random numbers: somebody left a placeholder in place of the features."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """All heads."""
        shared = self.trunk(image)
        return {"kind": self.kind(shared), "box": self.box(torch.zeros_like(shared)), "mask": self.mask(shared)}


class WithoutGradient(Detector):
    """The features are detached before any head."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """All heads."""
        shared = self.trunk(image).detach()
        return {"kind": self.kind(shared), "box": self.box(shared), "mask": self.mask(shared)}


def _dead(model: nn.Module) -> None:
    model.get_submodule("trunk.3").get_parameter("bias").fill_(-100.0)


def _missed(output: Tensor, target: Tensor) -> Tensor:
    """Smooth-L1 of the boxes that overlap; by a wrong sign none ever does."""
    matched = (output - target).abs().sum(dim=1, keepdim=True) < 0
    return (F.smooth_l1_loss(output, target, reduction="none") * matched).mean()


def _without_mask(groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam([{**group, "params": group["params"][:-2]} for group in groups], lr=lr)


_case = BASE.faulty

FAULTY = (
    _case("lr_times_100", "Adam at 0.3", ("PF201",), lambda: task().but(lr=0.3)),
    _case("lr_by_1000", "Adam at 3e-6", ("PF202",), lambda: task().but(lr=3e-6)),
    _case(
        "images_raw",
        "pixels around 5,000 with deviation 1,000",
        ("PF301",),
        lambda: task().but(data=with_field(pictures, "image", lambda image: 5000 + 1000 * image)),
    ),
    _case(
        "boxes_raw",
        "boxes in thousandths, around 5,000",
        ("PF308", "PF403"),
        lambda: task().but(data=with_field(pictures, "box", lambda box: 5000 + 1000 * box)),
    ),
    _case("box_times_1e4", "the boxes count 10,000", ("PF403",), lambda: task().but(**{"loss_weights.box": 1e4})),
    _case(
        "mask_summed",
        "the loss of the mask is summed over pixels and batch",
        ("PF406", "PF403"),
        lambda: task().but(
            losses=with_loss(LOSSES, "mask", partial(F.binary_cross_entropy_with_logits, reduction="sum"))
        ),
    ),
    _case(
        "kinds_shuffled",
        "kinds belong to other images",
        ("PF310",),
        lambda: task().but(data=with_field(pictures, "kind", shuffled, everywhere=False)),
    ),
    _case(
        "boxes_shuffled",
        "boxes belong to other images",
        ("PF310",),
        lambda: task().but(data=with_field(pictures, "box", shuffled, everywhere=False)),
    ),
    _case(
        "masks_shuffled",
        "masks belong to other images",
        ("PF310",),
        lambda: task().but(data=with_field(pictures, "mask", shuffled, everywhere=False)),
    ),
    _case("trunk_detached", "the features are detached", ("PF104",), lambda: task().but(factory=WithoutGradient)),
    _case(
        "trunk_frozen",
        "the trunk is frozen",
        ("PF104",),
        lambda: task().but(factory=changed(Detector, frozen("trunk"))),
    ),
    _case(
        "box_frozen",
        "the head of the box is frozen",
        ("PF104",),
        lambda: task().but(factory=changed(Detector, frozen("box"))),
    ),
    _case(
        "mask_not_in_optimizer",
        "the head of the mask is not in the optimizer",
        ("PF104",),
        lambda: task().but(optimizer=_without_mask),
    ),
    _case(
        "sigmoid_for_box",
        "a sigmoid for boxes of both signs",
        ("PF407",),
        lambda: task().but(factory=partial(Headed, box=torch.sigmoid)),
    ),
    _case(
        "sigmoid_for_mask",
        "a sigmoid before the cross-entropy with logits",
        ("PF408",),
        lambda: task().but(factory=partial(Headed, mask=torch.sigmoid)),
    ),
    _case(
        "relu_for_kind",
        "a ReLU behind the logits of the kind",
        ("PF407",),
        lambda: task().but(factory=partial(Headed, kind=torch.relu)),
    ),
    _case(
        "box_without_features",
        "the head of the box gets zeros in place of the features",
        ("PF410", "PF104"),
        lambda: task().but(factory=BoxOfNoise),
    ),
    _case(
        "no_box_matches",
        "boxes are matched by a condition that never holds: their loss is zero",
        ("PF104", "PF401", "PF402"),
        lambda: task().but(losses=with_loss(LOSSES, "box", _missed)),
    ),
    _case(
        "kind_of_one_class",
        "every image is told to be a square",
        ("PF304",),
        lambda: task().but(data=with_field(pictures, "kind", torch.zeros_like)),
    ),
    _case(
        "masks_empty",
        "all masks are empty",
        ("PF304",),
        lambda: task().but(data=with_field(pictures, "mask", torch.zeros_like)),
    ),
    _case("decay_of_10", "weight decay of 10", ("PF409",), lambda: task().but(weight_decay=10.0)),
    _case(
        "kind_head_times_100",
        "the head of the kind begins a hundred times too large",
        ("PF107", "PF405"),
        lambda: task().but(factory=changed(Detector, scaled("kind.3", 100.0))),
    ),
    _case(
        "trunk_of_zeros",
        "the trunk begins at zero",
        ("PF107", "PF103", "PF702"),
        lambda: task().but(factory=changed(Detector, scaled("trunk", 0.0))),
    ),
    _case(
        "trunk_dead",
        "a bias of -100 before the last ReLU of the trunk",
        ("PF103", "PF702", "PF107"),
        lambda: task().but(factory=changed(Detector, _dead)),
    ),
    _case(
        "warmup_of_ten_runs",
        "the warmup is ten times as long as the run",
        ("PF204",),
        lambda: task().but(warmup_steps=10 * STEPS),
    ),
)
