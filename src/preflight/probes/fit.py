"""Does the task fit together? One batch through model, losses, backward and metric, before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from preflight.core.errors import RefusedError, TaskError
from preflight.core.params import Params
from preflight.probes.flaws import TRAINING, Flaw, advice, rule_of, told
from preflight.probes.outliers import MAX_SQUARED
from preflight.tasks.base import Job, NamedLoss, Task
from preflight.tasks.data import Batch
from preflight.tasks.seeding import seeded


def check_fit(task: Task, params: Params, seed: int, flaws: Sequence[Flaw] = ()) -> Any:
    """Run one batch; raises :class:`TaskError` naming what does not fit. Gives the model's output on the batch.

    ``flaws`` of the data are what a loss that is not finite is put down to.
    """
    with warnings.catch_warnings(), seeded(seed, task.device):
        # The user's code may warn before it fails; where it does not fail, it is called again at once and warns then.
        warnings.simplefilter("ignore")
        job = task.job(params)
        task.scheduler(job.optimizer)  # one that cannot be built is bad input as well
        batch = next(task.batches(params, seed))
        job.network.train()
        output = _forward(job, batch)
        targets = {name: batch[name] for name in task.data.roles.targets}
        values = [_loss(loss, output, targets) for loss in job.losses]
        known = [flaw for flaw in flaws if flaw.split == TRAINING]
        for loss, value in zip(job.losses, values, strict=True):
            if not bool(torch.isfinite(value)):
                raise RefusedError(
                    f"the loss '{loss.name}' is {value.item()} on the first batch, before any training"
                    + (_suspicion(batch, known, params) or _too_large(task, job, loss, batch)),
                    rule_of(known),
                )
        _backward(job, values)
        with torch.no_grad():
            _metric(task, output, targets)
    return output


def _suspicion(batch: Batch, flaws: Sequence[Flaw], params: Params) -> str:
    """Which fields a loss that is not finite may be put down to."""
    if flaws:
        return f"; {told(flaws, params)}. {advice(flaws)}"
    floats = {name: field for name, field in batch.items() if field.is_floating_point() and field.numel()}
    bad = [name for name, field in floats.items() if not bool(field.isfinite().all())]
    if bad:
        return f"; not finite in this batch: {', '.join(bad)}"
    sizes = {name: float(field.abs().max()) for name, field in floats.items()}
    huge = [f"'{name}' has values of {size:.1e}" for name, size in sizes.items() if size > MAX_SQUARED]
    return f"; {', '.join(huge)}, whose squares overflow float32: give it in larger units" if huge else ""


def _too_large(task: Task, job: Job, loss: NamedLoss, batch: Batch) -> str:
    """The inputs by their size, where the loss is finite with the same ones brought to deviations of 1."""
    raw = {name: batch[name] for name in task.data.roles.inputs if batch[name].is_floating_point()}
    targets = {name: batch[name] for name in task.data.roles.targets}
    with torch.no_grad():
        scaled = {name: _standardized(value) for name, value in raw.items()}
        if not raw or not bool(loss(job.outputs({**batch, **scaled}), targets).isfinite()):
            return ""
    sizes = ", ".join(f"'{name}' up to {float(value.abs().max()):.3g}" for name, value in raw.items())
    return (
        f"; inputs are as large as {sizes} (PF301), and brought to mean 0 and deviation 1 they make it finite: "
        "normalize them where they are loaded, or have your file name a normalization in model.mapping"
    )


def _standardized(value: Tensor) -> Tensor:
    rows = value.float()
    deviation, mean = torch.std_mean(rows, dim=0, correction=0)
    return (rows - mean) / deviation.where(deviation > 0, 1)


def _forward(job: Job, batch: Batch) -> Any:
    try:
        return job.outputs(batch)
    except Exception as error:
        raise TaskError(f"the model does not take a batch of {_shapes(batch)}: {one_line(error)}") from error


def _loss(loss: NamedLoss, output: Any, targets: Batch) -> Tensor:
    _refuse_array(loss, output)
    fit = _fit(output, targets)
    try:
        with warnings.catch_warnings():
            # [B] against [B, 1] broadcasts to [B, B]: torch says so, and trains on nonsense.
            warnings.filterwarnings("error", message="Using a target size")
            value = loss(output, targets)
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(f"the loss '{loss.name}' does not fit {fit}: {one_line(error)}") from error
    if not isinstance(value, Tensor) or value.ndim != 0:
        got = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise TaskError(f"the loss '{loss.name}' must be a scalar, got {got}; average it over the batch")
    return value


def _refuse_array(loss: NamedLoss, output: Any) -> None:
    """An array carries no gradient, whatever the loss makes of it; beside tensors it may be there for other use."""
    place, value = "the model's output", output
    if isinstance(output, Mapping):
        names = list(output) if loss.output is None else [loss.output]
        arrays = [name for name in names if isinstance(output.get(name), np.ndarray)]
        if not arrays or len(arrays) < len(names):
            return
        place, value = f"'{arrays[0]}' of the model's output", output[arrays[0]]
    if isinstance(value, np.ndarray):
        raise TaskError(
            f"the loss '{loss.name}' cannot be trained: {place} is a numpy array, {_shape(value)}, where a tensor is "
            "needed; return the tensor as it is, without .detach().numpy()"
        )


def _backward(job: Job, values: list[Tensor]) -> None:
    for loss, value in zip(job.losses, values, strict=True):
        if not value.requires_grad:
            raise TaskError(
                f"the loss '{loss.name}' carries no gradient: it does not depend on the model's parameters, "
                "or it was detached"
            )
    try:
        torch.stack([value.float() for value in values]).sum().backward()
    except RuntimeError as error:
        raise TaskError(f"the losses cannot be differentiated: {one_line(error)}") from error
    if all(parameter.grad is None for _, parameter in job.parameters):
        raise TaskError("no trained parameter has a gradient: the losses do not depend on any of them")


def _metric(task: Task, output: Any, targets: Batch) -> None:
    try:
        task.metric(output, targets)
    except Exception as error:
        raise TaskError(f"the metric does not fit {_fit(output, targets)}: {one_line(error)}") from error


def _fit(output: Any, targets: Batch) -> str:
    return f"{_labelled('output', _shape(output))} and {_labelled('target', _shapes(targets))}"


def _labelled(word: str, text: str) -> str:
    """``text`` after ``word``, unless a field of that name says it already."""
    return text if text.startswith(f"{word} ") else f"{word} {text}"


def _shape(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, Mapping):
        return _shapes(value)
    return type(value).__name__


def _shapes(batch: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shape(value)}" for name, value in batch.items())


def one_line(error: Exception) -> str:
    """Kind and first lines of somebody else's error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {'; '.join(lines[:2])}"
