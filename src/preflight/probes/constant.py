"""The best constant predictor of each loss: what a network reaches that ignores its input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from preflight.tasks.base import NamedLoss
from preflight.tasks.data import Batch

STEPS = 60


def best_constants(
    losses: tuple[NamedLoss, ...], output: Any, train: Batch, validation: Batch
) -> dict[str, float | None]:
    """Validation loss of the constant output that fits the training targets best, per loss.

    ``output`` is the model's on a batch; its structure gives the constant's, and its mean one of the starting points.
    None where no constant has a finite loss.
    """
    size = len(next(iter(train.values())))
    found: dict[str, float | None] = {}
    for loss in losses:
        chosen = output if loss.output is None else output[loss.output]
        starts = _starting_points(chosen, loss, train)
        fitted = [_fit(_on(loss, train, size), start) for start in starts]
        values = [_value(loss, constant, validation) for constant in fitted]
        finite = [value for value in values if math.isfinite(value)]
        found[loss.name] = min(finite) if finite else None
    return found


Constant = Mapping[str, Tensor]
Objective = Callable[[Constant], Tensor]


def _starting_points(output: Any, loss: NamedLoss, train: Batch) -> list[Constant]:
    """Mean output of the model, zeros, and the mean target where it has the output's shape."""
    named = _named(output)
    means = {name: tensor.detach().float().mean(dim=0) for name, tensor in named.items() if tensor.ndim}
    points: list[Constant] = [means, {name: torch.zeros_like(mean) for name, mean in means.items()}]
    target = train.get(loss.target) if loss.target else next(iter(train.values()))
    if len(means) == 1 and target is not None and target.is_floating_point():
        name, mean = next(iter(means.items()))
        if target[0].shape == mean.shape:
            points.append({name: target.float().mean(dim=0)})
    return points


def _named(output: Any) -> dict[str, Tensor]:
    if isinstance(output, Tensor):
        return {"": output}
    items = output.items() if isinstance(output, Mapping) else enumerate(output)
    return {str(name): item for name, item in items if isinstance(item, Tensor)}


def _on(loss: NamedLoss, targets: Batch, size: int) -> Objective:
    picked = NamedLoss(loss.name, loss.function, None, loss.target)

    def objective(constant: Constant) -> Tensor:
        return picked(_expanded(constant, size), targets)

    return objective


def _expanded(constant: Constant, size: int) -> Any:
    wide = {name: value.expand(size, *value.shape) for name, value in constant.items()}
    if "" in wide:
        return wide[""]
    return tuple(wide.values()) if all(name.isdigit() for name in wide) else wide


def _fit(objective: Objective, start: Constant) -> Constant:
    """Minimise by L-BFGS, which a quadratic of any scale does not trouble; the start where that fails."""
    leaves = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimizer = torch.optim.LBFGS(list(leaves.values()), max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = objective(leaves)
        if value.requires_grad:
            value.backward()
        return value

    try:
        with torch.enable_grad():
            optimizer.step(closure)
    except (RuntimeError, IndexError, ValueError):
        return start
    return {name: value.detach() for name, value in leaves.items()}


def _value(loss: NamedLoss, constant: Constant, targets: Batch) -> float:
    size = len(next(iter(targets.values())))
    try:
        with torch.no_grad():
            return float(_on(loss, targets, size)(constant))
    except (RuntimeError, TypeError, KeyError, ValueError):
        return math.nan
