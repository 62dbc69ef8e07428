"""What another batch size is expected to cost, by the gradient noise scale: rules of a model, and nothing that was run.

``S / S_min = 1 + B / b`` steps and ``E / E_min = 1 + b / B`` samples reach the same loss with batches of ``b`` where
the noise scale is ``B`` (McCandlish et al. 2018, arXiv 1812.06162, section 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from preflight.advise.noise import NoiseScale

# Share of additional samples that brings nothing: up to this a doubled batch is nearly free, and where more than half
# of them are lost, which begins where the batch is as large as the noise scale, it is mostly wasted.
FREE, WASTED = 0.1, 0.5
NEARLY_FREE, TRADE, MOSTLY_WASTED = "nearly free", "a trade", "mostly wasted"


@dataclass(frozen=True)
class Range:
    """From the lower to the upper end of the noise scale's interval, or the other way round."""

    low: float
    high: float


@dataclass(frozen=True)
class Step:
    """Going from a batch size to another one: factors on what is needed for the same progress, and on the progress.

    ``samples`` and ``steps`` reach the same loss; ``at_samples`` and ``at_steps`` are the progress after the same
    number of samples, or of steps, in which a larger batch has seen more samples.
    """

    batch_size: int
    samples: Range
    steps: Range
    at_samples: Range
    at_steps: Range


def step(old: int, new: int, scale: NoiseScale) -> Step:
    """What ``new`` is expected to cost beside ``old``, over the interval of the noise scale."""
    samples = [_samples(old, new, noise) for noise in (scale.low, scale.high)]
    steps = [factor * old / new for factor in samples]
    return Step(
        new,
        _range(samples),
        _range(steps),
        _range([1 / factor for factor in samples]),
        _range([1 / factor for factor in steps]),
    )


def worth_of_doubling(batch_size: int, scale: NoiseScale) -> tuple[str, str]:
    """What a doubled batch is, nearly free, a trade or mostly wasted, at the upper and lower end of the interval."""
    best, worst = (_worth(_samples(batch_size, 2 * batch_size, noise) - 1) for noise in (scale.high, scale.low))
    return best, worst


def lr_factors(old: int, new: int, scale: NoiseScale, *, scales_steps: bool | None) -> Range:
    """Factor on the learning rate beside another batch size.

    SGD: proportional to ``1 / (1 + B / b)`` (arXiv 1812.06162, equation 2.6). Optimizers that give each step a size of
    its own, as Adam does: between none and the square root of the ratio of the batch sizes (Malladi et al. 2022, arXiv
    2205.10287). None known: the bounds of both.
    """
    root = math.sqrt(new / old)
    linear = [new / old / _samples(old, new, noise) for noise in (scale.low, scale.high)]
    adaptive = [1.0, root]
    return _range(linear if scales_steps is False else adaptive if scales_steps else [*linear, *adaptive])


def _worth(lost: float) -> str:
    if lost <= FREE:
        return NEARLY_FREE
    return MOSTLY_WASTED if lost > WASTED else TRADE


def _samples(old: int, new: int, noise: float) -> float:
    """Factor on the samples for the same progress."""
    return (noise + new) / (noise + old) if math.isfinite(noise) else 1.0


def _range(values: list[float]) -> Range:
    return Range(min(values), max(values))
