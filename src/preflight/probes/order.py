"""Does the order of the samples tell what they hold? Sorted data, read front to back, makes one-sided batches."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torch import Tensor

from preflight.core.params import Params
from preflight.probes.amounts import amounts
from preflight.tasks.batches import Numbers, endless_batches
from preflight.tasks.data import Batch, InMemory, is_numeric, spread
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

Array = npt.NDArray[np.float64]
# Samples that are looked at, in windows of neighbours: batches, but for very small and very large ones.
MAX_SAMPLES, MIN_SAMPLES, MAX_VALUES = 2048, 256, 2**23
MIN_WINDOW, MAX_WINDOW, MIN_WINDOWS = 8, 64, 4
MAX_COLUMNS = 8
PERMUTATIONS = 100
# An order of so many samples takes long to draw, and a drawn one depends on nothing.
MAX_DRAWN = 2**22


def look_at_order(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """``order``: ``shuffle, samples, window`` and, for the samples ``stored`` front to back and as they are ``trained``
    under ``params``, by field ``{role, dependence, z}``.

    ``dependence`` is the share of the variance that lies between windows of neighbours, beyond what as many windows of
    exchanged samples have: 0 by chance, 1 where all neighbours are alike (an intraclass correlation; of ranks for
    amounts, as Kruskal and Wallis, and of class indicators, as Light and Margolin, 1971). ``z`` is its distance from
    chance in deviations over permutations. Data with too few samples for four windows is left out.
    """
    source, orders = task.data.train, {"stored": False, "trained": params.shuffle}
    facts: dict[str, Any] = {"shuffle": params.shuffle}
    measured = amounts(task, params, seed)
    with seeded(seed, task.device):
        first = source.batch(torch.zeros(1, dtype=torch.long))
        widest = 1 if isinstance(source, InMemory) else max(tensor.numel() for tensor in first.values())
        budget = min(MAX_SAMPLES, max(MIN_SAMPLES, MAX_VALUES // max(1, widest)))
        for name, shuffle in orders.items():
            if shuffle and len(source) > MAX_DRAWN:
                continue
            windows = _windows(len(source), params.batch_size, shuffle, seed, budget)
            if windows is None:
                return {"order": facts}
            if name == "trained" and not shuffle:
                facts[name] = facts["stored"]
                continue
            facts |= {"samples": windows.numel(), "window": windows.shape[1]}
            facts[name] = _dependences(task, source.batch(windows.flatten()), windows.shape[1], measured)
    return {"order": facts}


def _windows(size: int, batch_size: int, shuffle: bool, seed: int, budget: int) -> Tensor | None:
    """Numbers ``[K, W]`` of the samples of windows that are spread over an epoch; None where it is too short."""
    width = min(max(batch_size, MIN_WINDOW), MAX_WINDOW, min(budget, size) // MIN_WINDOWS)
    if width < MIN_WINDOW:
        return None
    count = min(budget, size) // width
    order = endless_batches(Numbers(size), size, shuffle=shuffle, seed=seed, device=torch.device("cpu"))
    numbers = next(order)["number"]
    starts = spread(size // width, count) * width
    return numbers[starts[:, None] + torch.arange(width)]


def _dependences(task: PyTorchTask, batch: Batch, width: int, measured: Collection[str]) -> dict[str, Any]:
    found = {}
    roles = task.data.roles
    for role, names in (("input", roles.inputs), ("target", roles.targets)):
        for name in names:
            is_number = is_numeric(batch[name]) or name in roles.quantities
            is_amount = name in measured if role == "target" else is_number
            tested = [_dependence(item, width, is_amount) for item in _columns(batch[name], role, is_amount)]
            known = [item for item in tested if item is not None]
            if known:
                dependence, z = max(known)
                found[name] = {"role": role, "dependence": dependence, "z": z}
    return found


def _columns(tensor: Tensor, role: str, is_amount: bool) -> list[Array]:
    """A few numbers per sample, ``[N]`` each: of inputs the means over the positions."""
    values = tensor.detach().cpu().double().reshape(len(tensor), -1)
    columns = values[:, spread(values.shape[1], MAX_COLUMNS)]
    if role == "input" and is_amount and tensor.ndim > 2:
        axis = 1 if tensor.ndim == 4 else -1
        moved = tensor.detach().cpu().double().movedim(axis, -1).reshape(len(tensor), -1, tensor.shape[axis])
        columns = moved.nan_to_num(0.0, 0.0, 0.0).mean(dim=1)[:, spread(tensor.shape[axis], MAX_COLUMNS)]
    return [column.nan_to_num(0.0, 0.0, 0.0).numpy() for column in columns.unbind(1)]


def _dependence(values: Array, width: int, is_amount: bool) -> tuple[float, float] | None:
    """Intraclass correlation of ``values[N]`` in windows of ``width`` neighbours, and its z; None for a constant."""
    if (values == values[0]).all():
        return None
    codes: npt.NDArray[Any] = rankdata(values) if is_amount else np.unique(values, return_inverse=True)[1]
    measure = _between_ranks if is_amount else _between_classes
    draw = np.random.default_rng(0)
    chance = np.array([measure(draw.permutation(codes), width) for _ in range(PERMUTATIONS)])
    excess = measure(codes, width) - chance.mean()
    return float(excess / max(1 - chance.mean(), 1e-9)), float(excess / max(chance.std(), 1e-9))


def _between_ranks(ranks: npt.NDArray[Any], width: int) -> float:
    """Share of the variance that lies between the windows."""
    return float(ranks.reshape(-1, width).mean(axis=1).var() / ranks.var())


def _between_classes(codes: npt.NDArray[Any], width: int) -> float:
    """The same of class indicators: how much rarer unlike pairs are within windows than in all."""
    windows, classes = len(codes) // width, int(codes.max()) + 1
    places = np.repeat(np.arange(windows), width) * classes + codes
    inside = np.unique(places, return_counts=True)[1].astype(np.float64)
    total = np.bincount(codes).astype(np.float64)
    unlike = 1 - float((total**2).sum()) / len(codes) ** 2
    unlike_inside = 1 - float((inside**2).sum()) / (windows * width**2)
    return 1 - unlike_inside / unlike
