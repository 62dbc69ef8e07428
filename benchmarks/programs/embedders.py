"""What programs that embed digits share: a first layer, a bias that spoils the last, and faults of any of them."""

from __future__ import annotations

from torch import nn

from benchmarks.program import Base, Program
from benchmarks.programs.digits_mlp import ACTIVATIONS


def first_layer(width: int, activation: str, norm: bool) -> tuple[nn.Module, nn.Module, nn.Module]:
    """``[B, ..., 64]`` -> ``[B, ..., width]``."""
    return nn.Linear(64, width), nn.LayerNorm(width) if norm else nn.Identity(), ACTIVATIONS[activation]()


def shifted(layer: nn.Linear, shift: float) -> nn.Linear:
    """The layer with all of its biases at ``shift``; as it is where that is zero."""
    if shift:
        nn.init.constant_(layer.bias, shift)
    return layer


def collapsed(base: Base) -> Program:
    """Of a task with the option ``shift``."""
    return base.faulty(
        "collapsed",
        "a bias of 1,000 makes all embeddings one",
        ("PF410", "PF107", "PF401"),
        lambda: base.task(shift=1000.0),
    )


def dead_relu(base: Base) -> Program:
    """Of a task with the options ``shift`` and ``rectified``."""
    return base.faulty(
        "dead_relu",
        "a ReLU before the normalization, and a bias of -10 that closes it",
        ("PF702", "PF107", "PF410"),
        lambda: base.task(shift=-10.0, rectified=True),
    )


def always_warming_up(base: Base) -> Program:
    """Of any task."""
    return base.faulty(
        "always_warming_up",
        "the warmup is as long as the run",
        ("PF204", "PF202"),
        lambda: base.task().but(warmup_fraction=1.0),
    )
