"""What a loss is, told by how it behaves: no name of a function is looked at, so that a user's own are known too."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from preflight.probes.heads import Head
from preflight.tasks.base import NamedLoss
from preflight.tasks.data import Batch
from preflight.tasks.outputs import mapped

CROSS_ENTROPY = "cross_entropy"  # softmax inside, classes as targets
NLL = "nll"  # takes log-probabilities, classes as targets
BCE_LOGITS = "bce_logits"  # sigmoid inside, targets 0 and 1
FIT = "fit"  # zero where output and target are equal

SAME = 1e-12  # of a sum of float64 numbers, in another order
NEAR = 0.01  # of the value it is compared with
LARGE = 30.0  # a logit that leaves no doubt
SCALES = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, LARGE)
PARTS = (2, 4)
DRAWS = 8

Value = Callable[[Tensor], float]


def valued(loss: NamedLoss, targets: Batch) -> Value:
    """``value(output)`` of a loss on ``targets``; NaN where it refuses the output."""
    bare = NamedLoss(loss.name, loss.function, None, loss.target)

    def value(output: Any) -> float:
        try:
            with torch.no_grad():
                return float(bare(output, targets))
        except Exception:  # the user's loss may refuse a made-up output
            return math.nan

    return value


def classes_second(value: Value, output: Tensor, target: Tensor) -> tuple[Value, Tensor]:
    """A loss that takes its classes on the last axis, as sequence models give them, with them on the second."""
    is_last = output.ndim > 2 and not target.is_floating_point() and target.shape == output.shape[:-1]
    if not is_last or not _near(value(torch.zeros_like(output)), math.log(output.shape[-1])):
        return value, output
    return lambda moved: value(moved.movedim(1, -1)), output.movedim(-1, 1)


def kind_of(value: Value, output: Tensor, target: Tensor) -> str | None:
    """Kind of a loss of ``output[B, ...]`` and ``target[B, ...]``; None where it is none of the known ones."""
    zeros = torch.zeros_like(output)
    if not target.is_floating_point() and output.ndim > 1 and output.shape[1] > 1 and target.shape != output.shape:
        chance = math.log(output.shape[1])
        shift = torch.linspace(-3, 3, len(output), device=output.device, dtype=output.dtype)
        shifted = output + shift.reshape(-1, *[1] * (output.ndim - 1))
        if _near(value(zeros), chance) and _near(value(shifted), value(output)):
            return CROSS_ENTROPY
        if abs(value(zeros)) < NEAR and _near(value(zeros - chance), chance):
            return NLL
        return None
    wanted = shaped(target, output)
    if wanted is None:
        return None
    is_binary = bool(((wanted == 0) | (wanted == 1)).all())
    # A loss of probabilities takes no output out of their range.
    others = (wanted + max(1.0, float(wanted.std(correction=0))), *([1 - wanted] if is_binary else []))
    if any(abs(value(wanted)) < 1e-3 * value(other) for other in others):
        return FIT
    if is_binary:
        right, wrong = (value(sign * LARGE * (2 * wanted - 1)) for sign in (1, -1))
        if right < 1e-3 * value(zeros) < value(zeros) < wrong:
            return BCE_LOGITS
    return None


def shaped(target: Tensor, output: Tensor) -> Tensor | None:
    """The target as an output that equals it; None where it has not as many values."""
    return target.to(output.dtype).reshape(output.shape) if target.numel() == output.numel() else None


def chance_of(kind: str | None, value: Value, output: Tensor, target: Tensor) -> tuple[float, str] | None:
    """Loss of guessing and how it is derived: all classes alike, or directions drawn at random."""
    if kind in (CROSS_ENTROPY, NLL):
        return math.log(output.shape[1]), "ln(classes)"
    if kind == BCE_LOGITS and _near(value(torch.zeros_like(output)), math.log(2)):
        return math.log(2), "ln(2)"
    if target.is_floating_point() and target.ndim == 2 and target.shape == output.shape and target.shape[1] > 1:
        lengths = target.double().norm(dim=1)
        if bool(torch.isclose(lengths, torch.ones_like(lengths), atol=1e-3).all()):
            drawn = [torch.nn.functional.normalize(torch.randn_like(output), dim=1) for _ in range(DRAWS)]
            return sum(value(item) for item in drawn) / DRAWS, "directions at random"
    return None


def floor_of(kind: str | None, value: Value, output: Tensor, target: Tensor, head: Head | None) -> float | None:
    """Loss that no weights can take away, since ``head`` bounds the output; None where that is not known."""
    if head is None:
        return None
    free = [_answer(kind, output, target, scale) for scale in (SCALES if kind != FIT else (1.0,))]
    if any(item is None for item in free):
        return None
    # A constant added to all logits changes no softmax: only the width of the range counts.
    low, high = (0.0, head.high - head.low) if kind == CROSS_ENTROPY else (head.low, head.high)
    bounded = min(value(item.clamp(low, high)) for item in free if item is not None)
    return max(0.0, bounded - min(value(item) for item in free if item is not None))


def _answer(kind: str | None, output: Tensor, target: Tensor, scale: float) -> Tensor | None:
    """A right answer to ``target``, ``scale`` times as sure as a logit of one."""
    if kind == FIT:
        return shaped(target, output)
    if kind == BCE_LOGITS:
        wanted = shaped(target, output)
        return None if wanted is None else scale * (2 * wanted - 1)
    if kind == CROSS_ENTROPY and target.ndim == output.ndim - 1:
        known = target.clamp(0, output.shape[1] - 1).unsqueeze(1)  # one that is ignored may be negative
        return torch.zeros_like(output).scatter_(1, known, scale)
    return None


def rank_of_target(output: Tensor, target: Tensor) -> float | None:
    """Where the right class stands among all of ``output[B, C]``, from 0 (last) to 1; 0.5 is chance."""
    if output.ndim != 2 or target.shape != output.shape[:1] or output.shape[1] < 2:
        return None
    right = output.gather(1, target.clamp(0, output.shape[1] - 1).unsqueeze(1))
    below, equal = (output < right).double().sum(dim=1), (output == right).double().sum(dim=1) - 1
    return float(((below + equal / 2) / (output.shape[1] - 1)).mean())


def scaling_of(loss: NamedLoss, output: Any, targets: Batch) -> dict[str, float]:
    """Loss of a batch over the mean loss of its parts, for so many parts: 1 of an average, as many of a sum."""
    size = len(next(iter(targets.values())))
    whole = valued(loss, targets)(output)
    found = {}
    for parts in PARTS:
        if size % parts or size < 2 * parts:
            continue
        values = []
        for number in range(parts):
            part = slice(number * size // parts, (number + 1) * size // parts)
            cut = {name: target[part] for name, target in targets.items()}
            values.append(valued(loss, cut)(mapped(output, partial(_sliced, part=part, size=size))))
        mean = math.fsum(values) / parts
        if math.isfinite(mean) and math.isfinite(whole) and abs(mean) > 1e-12:
            found[str(parts)] = whole / mean
    return found


def is_of_all_pairs(value: Value, output: Tensor, target: Tensor) -> bool:
    """Whether shapes that differ make the loss broadcast: ``output[B, 1]`` against ``target[B]``, every pair of both.

    Outputs may then change places within the batch and nothing changes, but their sizes count.
    """
    if output.shape == target.shape or output.numel() != target.numel() or len(target.unique()) < 2:
        return False
    made = torch.rand(output.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(output.device)
    whole, exchanged, halved = value(made), value(made.flip(0)), value(made / 2)
    return abs(whole - exchanged) <= SAME * abs(whole) and abs(whole - halved) > SAME * abs(whole)


def _sliced(output: Tensor, part: slice, size: int) -> Tensor:
    return output[part] if output.ndim and len(output) == size else output


def _near(value: float, other: float) -> bool:
    return abs(value - other) <= NEAR * max(abs(other), 1e-9)
