"""The best constant predictor of each loss: what a network reaches that ignores its input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from preflight.tasks.base import NamedLoss
from preflight.tasks.data import Batch
from preflight.tasks.outputs import Path, replaced, tensors_of
from preflight.tasks.seeding import seeded

STEPS = 60
SEED = 0  # of losses that draw random numbers
FITTED_BATCHES = 8
SAME = 0.1
"""Relative difference of a loss between all samples and batches: a mean differs by the noise of those batches."""


# Tensors of an output without their batch axis.
Constant = Mapping[Path, Tensor]
Objective = Callable[[Constant], Tensor]
Tie = Callable[[Constant], Constant]
"""The constant nearest to one that the model can give."""


def free(constant: Constant) -> Constant:
    """No tie: every number may differ from every other."""
    return constant


def best_constants(
    losses: tuple[NamedLoss, ...],
    output: Any,
    train: Batch,
    validation: Batch,
    batch_size: int | None = None,
    ties: Mapping[str, Tie] | None = None,
) -> dict[str, float | None]:
    """Validation loss of the constant output that fits the training targets best, or of an ordinary one, per loss.

    ``output`` is the model's on a batch; its structure gives the constant's, and its mean one of the starting points.
    Beside answers with a graph, what has none is no constant (:func:`answers_of`): it is repeated as it is.
    ``batch_size`` is that of the losses it is compared with (None: all samples are one batch): a sum, or a contrast of
    the samples of a batch with each other, is another loss for another size. ``ties`` are what the model makes the
    constant of a loss share (:func:`preflight.probes.ties.ties_of`). None where no constant has a finite loss.
    """
    device = next(iter(train.values())).device
    with seeded(SEED, device):
        return {
            loss.name: _best_constant(loss, output, train, validation, batch_size, (ties or {}).get(loss.name, free))
            for loss in losses
        }


def _best_constant(
    loss: NamedLoss, output: Any, train: Batch, validation: Batch, batch_size: int | None, tie: Tie
) -> float | None:
    chosen = output if loss.output is None else output[loss.output]
    whole = on_constant(loss, chosen, train, tie)
    starts = starting_points(chosen, loss, train)
    fitted = [fit(whole, start) for start in starts]
    if batch_size is not None:
        some = in_batches(loss, chosen, train, batch_size, FITTED_BATCHES, tie)
        fitted += [fit(some, constant) for constant in fitted if _differ(whole, some, constant)]
    measured = in_batches(loss, chosen, validation, batch_size, tie=tie)
    # Of many classes with few samples each the fitted prior is worse on new ones than none: zeros, all alike.
    values = [value_of(measured, constant) for constant in (*fitted, *starts)]
    return min((value for value in values if math.isfinite(value)), default=None)


def answers_of(output: Any) -> dict[Path, Tensor]:
    """What a model answers, by its path: tensors with a graph, or all of them where none has one.

    What has none beside them is no answer but what it is held against: a teacher's word, the input of an autoencoder.
    """
    rows = {path: item for path, item in tensors_of(output).items() if item.ndim}
    return {path: item for path, item in rows.items() if item.requires_grad} or rows


def in_batches(
    loss: NamedLoss, output: Any, targets: Batch, batch_size: int | None, most: int | None = None, tie: Tie = free
) -> Objective:
    """A loss of one output for all samples as a validation gives it: by batches, weighted by their samples."""
    size = len(next(iter(targets.values())))
    firsts = range(0, size, batch_size or size)[:most]
    cuts = [slice(first, min(first + (batch_size or size), size)) for first in firsts]
    seen = cuts[-1].stop
    some = [{name: item[cut] for name, item in targets.items()} for cut in cuts]
    shares = [(cut.stop - cut.start) / seen for cut in cuts]
    parts = [(share, on_constant(loss, output, part, tie)) for share, part in zip(shares, some, strict=True)]
    return lambda constant: sum((share * part(constant) for share, part in parts), start=torch.zeros(()))


def _differ(whole: Objective, some: Objective, constant: Constant) -> bool:
    """Whether a loss of all samples is another one than that of batches, so that another constant may fit it."""
    left, right = value_of(whole, constant), value_of(some, constant)
    return math.isfinite(right) and not abs(left - right) <= SAME * abs(right)


def starting_points(output: Any, loss: NamedLoss, train: Batch) -> list[Constant]:
    """Mean output of the model, zeros, and the mean target where it has the output's shape."""
    means = {key: item.detach().float().mean(dim=0) for key, item in answers_of(output).items()}
    points: list[Constant] = [means, {key: torch.zeros_like(mean) for key, mean in means.items()}]
    target = train.get(loss.target) if loss.target else next(iter(train.values()))
    if len(means) == 1 and target is not None and target.is_floating_point():
        key, mean = next(iter(means.items()))
        if target[0].shape == mean.shape:
            points.append({key: target.float().mean(dim=0)})
    return points


def on_constant(loss: NamedLoss, output: Any, targets: Batch, tie: Tie = free) -> Objective:
    """A loss of one output for all samples, in the structure of ``output``."""
    picked = replace(loss, output=None)
    size = len(next(iter(targets.values())))

    def objective(constant: Constant) -> Tensor:
        return picked(_expanded(tie(constant), output, size), targets)

    return objective


def _expanded(constant: Constant, output: Any, size: int) -> Any:
    """``constant`` for every one of ``size`` samples, in the structure of ``output``; what is no answer as it is."""
    if not constant:
        raise TypeError("the output holds no tensor that could be constant")
    # Contiguous: a loss may call view().
    rows = {key: value.expand(size, *value.shape).contiguous() for key, value in constant.items()}
    kept = {
        key: item.detach()[torch.arange(size, device=item.device) % len(item)]
        for key, item in tensors_of(output).items()
        if item.ndim and len(item) and key not in constant
    }
    return replaced({**kept, **rows}, output)


def fit(objective: Objective, start: Constant) -> Constant:
    """Minimise by L-BFGS, which a quadratic of any scale does not trouble; the start where that fails."""
    leaves = {key: value.clone().requires_grad_() for key, value in start.items()}

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = objective(leaves)
        if value.requires_grad:
            value.backward()
        return value

    try:
        optimizer = torch.optim.LBFGS(list(leaves.values()), max_iter=STEPS, line_search_fn="strong_wolfe")
        with torch.enable_grad():
            optimizer.step(closure)
    except Exception:  # the user's loss may refuse a constant, or assert that outputs are finite
        return start
    return {key: value.detach() for key, value in leaves.items()}


def value_of(objective: Objective, constant: Constant) -> float:
    """Value of an objective; NaN where the user's loss refuses it."""
    try:
        with torch.no_grad():
            return float(objective(constant))
    except Exception:  # see fit
        return math.nan
