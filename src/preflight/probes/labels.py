"""Do the targets belong to the inputs? Simple predictors find a little of almost any relation, and none of a mix-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torch import Tensor

from preflight.core.params import Params
from preflight.probes.amounts import amounts
from preflight.tasks.data import Batch, InMemory, Source, is_numeric, spread
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

Array = npt.NDArray[np.float64]
Chance = Sequence[tuple[float, float]]  # mean and deviation of each predictor's agreement
MAX_SAMPLES, MIN_SAMPLES, MAX_VALUES = 1024, 30, 2**22
FEWEST_OF_WIDE = 200
MAX_INPUTS, MAX_TARGETS, TOKEN_BINS = 128, 8, 128
NEIGHBOURS = 5
# Of the ridge, relative to the mean eigenvalue.
SHRINK = 0.1
PERMUTATIONS = 60
# Labels that are some rows off: by a header, a lag, a window, or a shift of one table against another.
OFFSETS = tuple(sign * rows for rows in range(1, 17) for sign in (1, -1))


def look_at_labels(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """``labels.TARGET``: ``{samples, z, validation_samples, validation_z, offset, offset_z}``, and ``pairs``.

    ``z`` says how much better the nearest neighbours (leaving one out) or a ridge regression (fitted on half of the
    samples, judged on the other) predict the target than with the targets exchanged, in deviations over permutations:
    the better one of both. ``offset`` is the number of rows by which targets are moved against the inputs where they
    fit best, for data in memory. Below 30 samples nothing is said, and of a target that never changes
    ``{constant: True}``. ``pairs.INPUT`` says of every input beside the first one how well that one predicts it,
    ``{beside, samples, z, validation_samples, validation_z}``, and ``copy_of``: an earlier input that it equals in
    every training sample looked at, or None.
    """
    with seeded(seed, task.device):
        splits = {"": task.data.train, "validation_": task.data.validation}
        measured = amounts(task, params, seed)
        found: dict[str, dict[str, Any]] = {name: {} for name in task.data.roles.targets}
        pairs: dict[str, dict[str, Any]] = {name: {} for name in task.data.roles.inputs[1:]}
        for prefix, source in splits.items():
            numbers, batch = _samples(source)
            if len(numbers) < MIN_SAMPLES:
                continue
            for name, facts in pairs.items():
                facts.update(_beside(batch, task.data.roles.inputs, name, prefix))
            inputs = _features(batch, task.data.roles.inputs)
            if inputs is None:
                continue
            predictors = _neighbours(inputs), _ridge(inputs)
            for name, facts in found.items():
                targets = _coded(batch[name], name in measured)
                if not prefix and not targets.size:
                    facts["constant"] = True
                if facts.get("constant"):
                    continue
                chance = _by_chance(predictors, targets)
                facts[f"{prefix}samples"] = len(numbers)
                facts[f"{prefix}z"] = _agreement(predictors, targets, chance)
                if not prefix and isinstance(source, InMemory):
                    facts.update(_best_offset(predictors, chance, source.tensors[name], numbers, name in measured))
    return {
        "labels": {name: facts for name, facts in found.items() if facts},
        "pairs": {name: facts for name, facts in pairs.items() if facts},
    }


def _beside(batch: Batch, inputs: Sequence[str], name: str, prefix: str) -> dict[str, Any]:
    """How well the first input predicts another one, by some projections of it; whether that equals an earlier one."""
    before = [other for other in inputs[: inputs.index(name)] if torch.equal(batch[other], batch[name])]
    found: dict[str, Any] = {} if prefix else {"copy_of": next(iter(before), None)}
    first, other = _features(batch, inputs[:1]), _features(batch, (name,))
    if first is None or other is None:
        return found
    draw = np.random.default_rng(0)
    targets = _standardized(other @ draw.normal(size=(other.shape[1], MAX_TARGETS)))
    predictors = _neighbours(first), _ridge(first)
    agreement = _agreement(predictors, targets, _by_chance(predictors, targets))
    return {**found, "beside": inputs[0], f"{prefix}samples": len(targets), f"{prefix}z": agreement}


def _samples(source: Source) -> tuple[Tensor, Batch]:
    widest = max(tensor.numel() for tensor in source.batch(torch.zeros(1, dtype=torch.long)).values())
    numbers = spread(len(source), min(MAX_SAMPLES, max(FEWEST_OF_WIDE, MAX_VALUES // max(1, widest))))
    return numbers, {name: tensor.detach().cpu() for name, tensor in source.batch(numbers).items()}


def _features(batch: Batch, names: Sequence[str]) -> Array | None:
    """Inputs as standardized columns ``[N, D]``: as they are, or some of their projections where they are many."""
    parts = [part for name in names for part in _parts(batch[name])]
    columns = np.concatenate(parts, axis=1) if parts else np.zeros((0, 0))
    columns = columns[:, columns.std(axis=0) > 0] if len(columns) else columns
    if not columns.size:
        return None
    return _standardized(columns)


def _standardized(columns: Array) -> Array:
    scaled: Array = (columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), 1e-12)
    return scaled


def _parts(tensor: Tensor) -> list[Array]:
    """A field flattened, and the means over its positions; of tokens how often each occurs."""
    size = len(tensor)
    if not is_numeric(tensor) and tensor.dtype != torch.bool and tensor.ndim > 1:
        bins = tensor.reshape(size, -1).remainder(TOKEN_BINS).long()
        counts = torch.zeros(size, TOKEN_BINS, dtype=torch.float64)
        return [counts.scatter_add_(1, bins, torch.ones_like(bins, dtype=torch.float64)).numpy()]
    values = tensor.double().nan_to_num(0.0, 0.0, 0.0)
    flat = values.reshape(size, -1)
    flat = flat.sign() * flat.abs().log1p() if float(flat.abs().max()) > 1e3 else flat
    flat = (flat - flat.mean(dim=0)) / flat.std(dim=0).clamp(min=1e-12)
    parts = [_projected(flat).numpy()]
    if values.ndim > 2:
        axis = 1 if values.ndim == 4 else -1
        means = values.movedim(axis, -1).reshape(size, -1, values.shape[axis]).mean(dim=1)
        parts.append(_projected(means).numpy())
    return parts


def _projected(flat: Tensor) -> Tensor:
    if flat.shape[1] <= MAX_INPUTS:
        return flat
    generator = torch.Generator().manual_seed(0)
    return flat @ torch.randn(flat.shape[1], MAX_INPUTS, generator=generator, dtype=torch.float64)


def _coded(tensor: Tensor, is_amount: bool) -> Array:
    """A target as columns ``[N, C]`` of mean 0 and deviation 1: ranks of amounts, indicators of classes."""
    values = tensor.detach().cpu().double().reshape(len(tensor), -1).nan_to_num(0.0, 0.0, 0.0)
    columns = values[:, spread(values.shape[1], MAX_TARGETS)].numpy()
    if is_amount:
        columns = rankdata(columns, axis=0)
    else:
        classes = [np.unique(column) for column in columns.T]
        columns = np.concatenate(
            [column[:, None] == known[None] for column, known in zip(columns.T, classes, strict=True)], axis=1
        ).astype(np.float64)
    columns = columns[:, columns.std(axis=0) > 0]
    return _standardized(columns)


def _neighbours(inputs: Array) -> Array:
    """Matrix ``[N, N]`` that gives each sample the mean target of its nearest neighbours."""
    squares = (inputs**2).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * inputs @ inputs.T
    np.fill_diagonal(distances, np.inf)
    nearest = np.argpartition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    weights: Array = np.zeros_like(distances)
    np.put_along_axis(weights, nearest, 1 / NEIGHBOURS, axis=1)
    return weights


def _ridge(inputs: Array) -> Array:
    """Matrix ``[N, N]`` that gives the odd samples the prediction of a ridge regression on the even ones."""
    even, odd = inputs[::2], inputs[1::2]
    weights: Array = np.zeros((len(inputs), len(inputs)))
    shrink = SHRINK * float((even**2).sum()) / min(even.shape)
    if even.shape[0] < even.shape[1]:
        weights[1::2, ::2] = odd @ even.T @ np.linalg.inv(even @ even.T + shrink * np.eye(len(even)))
    else:
        weights[1::2, ::2] = odd @ np.linalg.solve(even.T @ even + shrink * np.eye(even.shape[1]), even.T)
    return weights


def _by_chance(predictors: Sequence[Array], targets: Array) -> Chance:
    """Agreement of each predictor's predictions with ``targets[N, C]`` in an order of their own."""
    size, draw = len(targets), np.random.default_rng(0)
    exchanged = targets[np.stack([draw.permutation(size) for _ in range(PERMUTATIONS)])]  # [P, N, C]
    side_by_side = exchanged.transpose(1, 0, 2).reshape(size, -1)
    fits = [
        (predictor @ side_by_side * side_by_side).reshape(size, PERMUTATIONS, -1).sum(axis=(0, 2))
        for predictor in predictors
    ]
    return [(float(each.mean()), max(float(each.std()), 1e-12)) for each in fits]


def _agreement(predictors: Sequence[Array], targets: Array, chance: Chance) -> float:
    """How far the agreement of predictions with ``targets[N, C]`` lies beyond chance, of the better predictor."""
    if not targets.size:
        return 0.0
    return max(
        (float((predictor @ targets * targets).sum()) - mean) / deviation
        for predictor, (mean, deviation) in zip(predictors, chance, strict=True)
    )


def _best_offset(
    predictors: Sequence[Array], chance: Chance, targets: Tensor, numbers: Tensor, is_amount: bool
) -> dict[str, Any]:
    """The shift of the targets against the inputs at which they fit best, and how well: by chance all fit alike."""
    fits = {}
    for offset in OFFSETS:
        moved = targets[((numbers + offset) % len(targets)).to(targets.device)]
        fits[offset] = _agreement(predictors, _coded(moved, is_amount), chance)
    best = max(fits, key=fits.__getitem__)
    return {"offset": best, "offset_z": fits[best]}
