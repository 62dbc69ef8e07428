"""What of each input reaches the first layer with weights: a model may normalize, take logarithms or embed itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from preflight.core.errors import TaskError
from preflight.core.model_settings import FieldSettings
from preflight.core.params import Params
from preflight.probes.axes import settled_of
from preflight.probes.layout import layout_of
from preflight.tasks.base import Job
from preflight.tasks.data import Batch, spread
from preflight.tasks.network import Network
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

MAX_SAMPLES = 256
# Layers beyond so many calls are not the first.
MAX_CALLS = 64
MAX_FEATURES = 64
# Features one by one only where a pass takes no longer: they take two each.
MAX_PASS_S = 0.5
# Added to whole numbers: one that is an index after all is cut or rounded to the same.
NUDGE = 0.25
PASSING = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Identity, nn.Flatten, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool2d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def look_at_first_layers(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """``first_layers.FIELD``: ``module, type`` of the first layer with a weight matrix that the field reaches,
    ``largest`` and ``varies`` (the largest root mean square and deviation of the columns of its input that come of the
    field), ``norm_after`` (whether the layer's output goes straight into a normalization that takes out a common scale:
    a variance below its eps it leaves as it is) and ``features``: ``{as_number, tail, fed_tail}`` by name: whether a
    small change of the value changes anything, as it does not where it is an index; and the largest distance from the
    median over the mean one, at the layer and as it is fed.

    Found by exchanging the field among the samples of a batch, one forward pass each, in training mode. What cannot be
    found is left out; nothing of it is kept.
    """
    with seeded(seed, task.device):
        source = task.data.train
        size = max(2, min(MAX_SAMPLES, params.batch_size))
        try:
            batch = source.batch(spread(len(source), size))
            job = task.job(params)
            job.network.train()
            look = _Look(job, batch, seed, task.device)
        except Exception:  # the user's model: the fit of a batch says what is wrong with it
            return {}
        found, known = {}, settled_of(task)
        for name in task.data.roles.inputs:
            if batch[name].dtype != torch.bool and batch[name].numel():
                facts = _reach(look, name, known.get(name, FieldSettings()))
                if facts:
                    found[name] = facts
        return {"first_layers": found}


def _reach(look: _Look, name: str, settings: FieldSettings) -> dict[str, Any]:
    calls = look.calls({**look.batch, name: look.batch[name].roll(1, 0)})
    place = look.first_change(calls)
    if place is None:
        return {}
    call = look.base[place]
    columns = call.changed(calls[place])
    facts: dict[str, Any] = {"module": call.name, "type": type(call.module).__name__, "norm_after": call.norm_after}
    if call.value.is_floating_point():
        facts["largest"] = float(columns.double().square().mean(dim=0).sqrt().max())
        facts["varies"] = float(columns.double().std(dim=0, correction=0).max())
    if look.pass_s <= MAX_PASS_S:
        facts["features"] = dict(_features(look, name, settings))
    return facts


def _features(look: _Look, name: str, settings: FieldSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        layout = layout_of(name, look.batch, settings)
    except TaskError:  # settings that do not fit
        return
    if len(layout.features) > MAX_FEATURES:
        return
    fed = look.normalized(name).movedim(layout.axis if look.batch[name].ndim > 1 else 0, -1)
    fed = fed.reshape(-1, len(layout.features))
    for index, feature in enumerate(layout.features):
        yield (
            feature,
            {"as_number": look.is_number(name, layout.axis, index), **_tails(look, name, layout.axis, index, fed)},
        )


def _tails(look: _Look, name: str, axis: int, index: int, fed: Tensor) -> dict[str, float]:
    column = _column(look.batch[name], axis, index)
    calls = look.calls({**look.batch, name: _with_column(look.batch[name], axis, index, column.roll(1, 0))})
    place = look.first_change(calls)
    if place is None or not look.base[place].value.is_floating_point():
        return {}
    columns = look.base[place].changed(calls[place])
    return {"tail": max(_tail(item) for item in columns.unbind(1)), "fed_tail": _tail(fed[:, index])}


def _tail(values: Tensor) -> float:
    distances = (values.double() - values.double().median()).abs()
    return float(distances.max() / distances.mean()) if float(distances.mean()) > 0 else 0.0


def _column(tensor: Tensor, axis: int, index: int) -> Tensor:
    return tensor if tensor.ndim == 1 else tensor.select(axis, index)


def _with_column(tensor: Tensor, axis: int, index: int, column: Tensor) -> Tensor:
    if tensor.ndim == 1:
        return column
    changed = tensor.clone() if column.dtype == tensor.dtype else tensor.to(column.dtype)
    changed.select(axis, index).copy_(column)
    return changed


@dataclass
class _Call:
    """A call of a layer with weights: what it was given, and whether a normalization follows it."""

    name: str
    module: nn.Module
    value: Tensor
    norm_after: bool = False

    def changed(self, other: _Call) -> Tensor:
        """Values ``[N, C]`` of those columns that are others in ``other``."""
        axis = 1 if isinstance(self.module, CONVOLUTIONS) and self.value.ndim > 2 else -1
        ours, theirs = (
            value.movedim(axis, -1).reshape(-1, value.shape[axis] if value.ndim > 1 else 1)
            for value in (self.value, other.value)
        )
        return ours[:, (ours != theirs).any(dim=0)]


class _EnoughError(Exception):
    """The first layers were seen."""


@dataclass
class _Look:
    """A network, a batch, and the calls of its layers on it."""

    job: Job
    batch: Batch
    seed: int
    device: torch.device
    base: list[_Call] = field(default_factory=list)
    pass_s: float = 0.0

    def __post_init__(self) -> None:
        self.calls(self.batch)  # the first pass may load and compile
        begin = time.perf_counter()
        self.base = self.calls(self.batch)
        self.pass_s = time.perf_counter() - begin

    def calls(self, batch: Batch) -> list[_Call]:
        """Calls of layers with weights in a forward pass over ``batch``, in their order, and the output as the last."""
        with seeded(self.seed, self.device), torch.no_grad(), _listening(self.job.network) as found:
            try:
                output = self.job.outputs(batch)
            except _EnoughError:
                return found
        if isinstance(output, Tensor):
            found.append(_Call("output", self.job.network, output))
        return found

    def first_change(self, calls: list[_Call]) -> int | None:
        """The first call that was given other values than on the batch as it is; None if there is none."""
        for index, (ours, theirs) in enumerate(zip(self.base, calls, strict=False)):
            if ours.name != theirs.name or ours.value.shape != theirs.value.shape:
                return None
            if not torch.equal(ours.value.nan_to_num(), theirs.value.nan_to_num()):
                return None if ours.name == "output" else index
        return None

    def is_number(self, name: str, axis: int, index: int) -> bool:
        """Whether the feature counts by its size: a quarter more makes a difference.

        Where float32 has no quarters, such as in seconds since 1970, what it has, to a layer that takes numbers: no
        table is so long.
        """
        column = _column(self.batch[name], axis, index).float()
        nudged = column + NUDGE
        is_lost = torch.equal(nudged, column)
        if is_lost:
            nudged = column * (1 + 2 * torch.finfo(column.dtype).eps)
        try:
            calls = self.calls({**self.batch, name: _with_column(self.batch[name], axis, index, nudged)})
        except Exception:  # an index must be a whole number
            return False
        if is_lost:
            place = self.first_change(calls)
            return place is not None and self.base[place].value.is_floating_point()
        return any(
            ours.value.shape != theirs.value.shape
            or not torch.equal(ours.value.nan_to_num(), theirs.value.nan_to_num())
            for ours, theirs in zip(self.base, calls, strict=False)
        )

    def normalized(self, name: str) -> Tensor:
        """The field as the configured normalizer gives it to the model."""
        network = cast(Network, self.job.network)
        with torch.no_grad():
            return cast(Tensor, network.normalizers[network.inputs.index(name)](self.batch[name]))


@contextmanager
def _listening(network: nn.Module) -> Iterator[list[_Call]]:
    """Hooks on all layers and normalizations of ``network``; they are gone afterwards."""
    calls: list[_Call] = []
    origin: dict[int, _Call] = {}  # the layer whose output a tensor is, but for what keeps its scale
    alive: list[Any] = []  # so that no id is used twice

    def given(arguments: Any, named: Mapping[str, Any]) -> Tensor | None:
        return next((item for item in (*arguments, *named.values()) if isinstance(item, Tensor)), None)

    def before(name: str, module: nn.Module, arguments: Any, named: Mapping[str, Any]) -> None:
        value = given(arguments, named)
        if value is None:
            return
        if len(calls) == MAX_CALLS:
            raise _EnoughError
        calls.append(_Call(name, module, value.detach().clone()))

    def after(kind: str, module: nn.Module, arguments: Any, named: Mapping[str, Any], output: Any) -> None:
        value = given(arguments, named)
        if not isinstance(output, Tensor) or value is None:
            return
        alive.extend((value, output))
        call = calls[-1] if kind == "layer" and calls and calls[-1].module is module else origin.get(id(value))
        if kind == "norm" and call is not None:
            call.norm_after = _divides(module, value)
        elif call is not None:
            origin[id(output)] = call

    with ExitStack() as stack:
        for name, module in network.named_modules():
            kind = _kind(module)
            if kind == "layer":
                hook = _bound_before(before, name.removeprefix("model."))
                stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
            if kind:
                stack.callback(module.register_forward_hook(_bound_after(after, kind), with_kwargs=True).remove)
        yield calls


def _divides(module: nn.Module, value: Tensor) -> bool:
    """Whether a normalization over samples divides ``value[B, C, ...]`` by its deviation, and not by ``eps``, the
    number that keeps it from dividing by zero: of less than that it takes out no scale.
    """
    if not isinstance(module, _BatchNorm | _InstanceNorm) or value.ndim < 2:
        return True
    variances = value.detach().double().transpose(0, 1).flatten(1).var(dim=1, correction=0)
    return bool(variances.median() >= module.eps)


def _bound_before(function: Any, name: str) -> Any:
    return lambda module, arguments, named: function(name, module, arguments, named)


def _bound_after(function: Any, kind: str) -> Any:
    return lambda module, arguments, named, output: function(kind, module, arguments, named, output)


def _kind(module: nn.Module) -> str:
    """``layer`` with a weight matrix of its own, ``norm``, ``passing`` what keeps a scale, or nothing."""
    if "norm" in type(module).__name__.lower():
        return "norm"
    if isinstance(module, PASSING):
        return "passing"
    has_matrix = any(item.ndim >= 2 for item in module.parameters(recurse=False))
    is_leaf = not any(True for child in module.children() for _ in child.parameters())
    return "layer" if has_matrix and (is_leaf or isinstance(module, nn.MultiheadAttention)) else ""
