"""A task in plain PyTorch: model factory, data, losses and metric, named in a configuration or given from Python."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from preflight.core.errors import TaskError, alternatives
from preflight.core.model_settings import RESERVED, ModelSettings, Spec
from preflight.core.params import Params
from preflight.core.settings import Trust, find_checkpoint
from preflight.tasks.base import Job, NamedLoss, pick_target
from preflight.tasks.batches import endless_batches
from preflight.tasks.checkpoint import Checkpoint
from preflight.tasks.data import QUANTITIES, Batch, Roles, is_numeric, uncached
from preflight.tasks.extent import AS_USUAL
from preflight.tasks.given import read_data
from preflight.tasks.importing import add_user_folders, find, make
from preflight.tasks.network import Network
from preflight.tasks.normalizer import InputNormalizer
from preflight.tasks.signature import RESERVED_KEYS, misfit, name_of
from preflight.tasks.target_normalizer import TargetNormalizer

KEY = "model.scheduler"
GROUPS_COME = "; it is called with parameter groups, [{'params': [...], 'lr': ...}], and lr"


class PyTorchTask:
    """See :class:`preflight.tasks.base.Task`."""

    def __init__(self, settings: ModelSettings, trust: Trust, device: torch.device, processes: int = 1) -> None:
        add_user_folders(trust)
        self.name = settings.name
        self.device = device
        self.head = settings.head
        self.schedule = settings.schedule
        self.scheduler_interval = settings.scheduler_interval
        self.settings = settings
        self._trust = trust
        self.normalizers: dict[tuple[str, str], Mapping[str, Any]] = {}
        """Configuration of the normalizer for every (setting, option), such as (normalization.input, standardize)."""
        self.extent = AS_USUAL
        self._before: list[weakref.ref[nn.Parameter]] = []
        path = find_checkpoint(settings, trust)
        self.checkpoint = None if path is None else Checkpoint.open(path)
        quantities = tuple(name for name, field in settings.fields.items() if set(field.kind) & set(QUANTITIES))
        roles = Roles(settings.inputs, settings.targets, quantities)
        given = make(settings.data, "model.data", trust)
        self.data = read_data(given, roles, device, processes)
        self.loader = _loader(given)
        """The user's training loader, which this task does not draw from itself; None without one."""
        self.losses = tuple(
            NamedLoss(name, _function(loss.function, f"model.losses.{name}", trust), loss.output, loss.target)
            for name, loss in settings.losses.items()
        )
        metric = settings.metric
        self._metric = None if metric is None else _function(metric.function, "model.metric.function", trust)

    def factory_parameters(self) -> tuple[str, ...] | None:
        """Names of the factory's keyword parameters; None where it takes any, or does not tell."""
        signature = self._factory_signature()
        if signature is None or any(item.kind is item.VAR_KEYWORD for item in signature.parameters.values()):
            return None
        return tuple(name for name, item in signature.parameters.items() if item.kind is not item.VAR_POSITIONAL)

    def factory_defaults(self, names: Collection[str]) -> dict[str, Any]:
        """Value of each of the factory's parameters that nobody sets: its configuration's argument, or its default."""
        spec = self.settings.factory
        given = dict(spec) if isinstance(spec, Mapping) else {}
        signature = self._factory_signature()
        parameters = {} if signature is None else signature.parameters
        defaults = {name: item.default for name, item in parameters.items() if item.default is not item.empty}
        return {name: value for name, value in {**defaults, **given}.items() if name in names}

    def _factory_signature(self) -> inspect.Signature | None:
        spec = self.settings.factory
        target = str(spec["_target_"]) if isinstance(spec, Mapping) and "_target_" in spec else spec
        try:
            return inspect.signature(find(target, "model.factory", self._trust))
        except (TypeError, ValueError):
            return None

    def job(self, params: Params) -> Job:
        """Build the user's model with ``params.extras`` and the checkpoint's weights, normalizers and optimizer."""
        model = make(self.settings.factory, "model.factory", self._trust, params.extras)
        if not isinstance(model, nn.Module):
            raise TaskError(f"model.factory must give a torch.nn.Module, got {type(model).__name__}")
        if self.checkpoint is not None:
            self.checkpoint.load_into(model, params.extras)
        normalizers = {
            name: InputNormalizer.from_config(self.normalizers.get((f"normalization.{name}", option)))
            for name, option in params.normalization.items()
        }
        losses = self.losses_with(params.target_normalization)
        units = {loss.output: loss.normalizer for loss in losses if loss.normalizer is not None}
        network = Network(model, normalizers, self.data.roles.inputs, units).to(self.device)
        named = [(name, item) for name, item in network.trained_parameters() if item.requires_grad]
        if not named:
            raise TaskError("the model has no parameter that is trained: none has requires_grad")
        self._check_new([item for _, item in named])
        components = {name: component_of(name, self.settings.components) for name, _ in named}
        self._check_components(components)
        groups, ratios = self._groups(named, components, params)
        return Job(
            network=network,
            parameters=named,
            components=components,
            head=self._head_weight(named, components),
            optimizer=self._optimizer(groups, params),
            lr_ratios=ratios,
            losses=losses,
            params=params,
            device=self.device,
        )

    def scalable_targets(self) -> tuple[str, ...]:
        """Targets of amounts that are each compared with an output of their own, and so can change their unit."""
        sample = self.data.train.batch(torch.zeros(1, dtype=torch.long))
        numbers = [name for name in self.data.roles.targets if is_numeric(sample[name])]
        return tuple(name for name in numbers if self._has_own_output(name))

    def _has_own_output(self, target: str) -> bool:
        compared = [(self._target_of(loss), loss.output) for loss in self.losses]
        outputs = {output for name, output in compared if name == target}
        shared = any(name is None or (name != target and {output, None} & outputs) for name, output in compared)
        return len(outputs) == 1 and not shared

    def _target_of(self, loss: NamedLoss) -> str | None:
        """The one target that a loss takes; None where it takes all of several."""
        only = self.data.roles.targets[0] if len(self.data.roles.targets) == 1 else None
        return loss.target or only

    def losses_with(self, target_normalization: Mapping[str, str]) -> tuple[NamedLoss, ...]:
        """The losses as they are trained where targets are normalized in these ways, by the name of the target."""
        targets = {
            name: TargetNormalizer.from_config(self.normalizers.get((f"target_normalization.{name}", option)))
            for name, option in target_normalization.items()
            if option != "none"
        }
        return tuple(self._as_trained(loss, targets.get(self._target_of(loss) or "")) for loss in self.losses)

    def _as_trained(self, loss: NamedLoss, normalizer: TargetNormalizer | None) -> NamedLoss:
        return loss if normalizer is None else replace(loss, normalizer=normalizer.to(self.device))

    def scheduler(self, optimizer: torch.optim.Optimizer) -> LRScheduler | None:
        """The user's own scheduler, made anew for ``optimizer``; None where the task follows one of preflight's."""
        spec = self.settings.scheduler
        if spec is None:
            return None
        build = (
            make(spec, KEY, self._trust, partial=True) if isinstance(spec, Mapping) else find(spec, KEY, self._trust)
        )
        try:
            scheduler = build(optimizer)
        except Exception as error:  # the user's factory
            why = self._misfit(spec, KEY, {})
            raise TaskError(why or f"{KEY} cannot be built: {type(error).__name__}: {error}{_given(spec)}") from error
        if not isinstance(scheduler, LRScheduler):
            raise TaskError(
                f"{KEY} must give a torch.optim.lr_scheduler.LRScheduler of the optimizer that it is called with, "
                f"got {type(scheduler).__name__}"
            )
        return scheduler

    @property
    def has_metric(self) -> bool:
        """Whether the task has one."""
        return self._metric is not None

    def metric(self, output: Any, targets: Batch) -> float:
        """The metric over the given samples; NaN where the task has none."""
        if self._metric is None:
            return float("nan")
        return float(self._metric(output, pick_target(targets, None)))

    def batches(self, params: Params, seed: int, *, fresh: bool = False) -> Iterator[Batch]:
        """Training batches without end; ``fresh`` ones hold no sample that was kept from an earlier fetch."""
        return endless_batches(
            uncached(self.data.train) if fresh else self.data.train,
            params.batch_size,
            shuffle=params.shuffle,
            seed=seed,
            device=self.device,
            drop_last=self.data.drop_last,
        )

    def _groups(
        self, named: list[tuple[str, nn.Parameter]], components: Mapping[str, str], params: Params
    ) -> tuple[list[dict[str, Any]], list[float]]:
        """One optimizer group per learning-rate ratio that the task keeps."""
        ratios = self.settings.lr_ratios
        for name in ratios:
            if name not in components.values():
                known = set(components.values())
                raise TaskError(f"model.lr_ratios names the component '{name}'; {alternatives(name, known)}")
        by_ratio: dict[float, list[nn.Parameter]] = {}
        for name, parameter in named:
            by_ratio.setdefault(ratios.get(components[name], 1.0), []).append(parameter)
        groups = [{"params": items, "lr": params.lr * ratio} for ratio, items in by_ratio.items()]
        return groups, list(by_ratio)

    def _optimizer(self, groups: list[dict[str, Any]], params: Params) -> torch.optim.Optimizer:
        spec = self.settings.optimizer
        arguments: dict[str, Any] = {"lr": params.lr}
        if params.weight_decay is not None:
            arguments["weight_decay"] = params.weight_decay
        if isinstance(spec, Mapping):
            # Groups hold parameters, which an instantiated configuration cannot carry: build a partial first.
            partial = make(spec, "model.optimizer", self._trust, partial=True)
        else:
            partial = find(spec, "model.optimizer", self._trust)
        try:
            optimizer = partial(groups, **arguments)
        except Exception as error:  # the user's factory
            why = self._misfit(spec, "model.optimizer", arguments)
            named = f"{error}" if isinstance(error, TypeError | ValueError) else f"{type(error).__name__}: {error}"
            hint = "" if isinstance(error, TypeError | ValueError) else GROUPS_COME
            raise TaskError(
                why or f"model.optimizer cannot be built: {named}{_given(spec, arguments)}{hint}"
            ) from error
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TaskError(f"model.optimizer must give a torch.optim.Optimizer, got {type(optimizer).__name__}")
        return optimizer

    def _misfit(self, spec: Spec, key: str, arguments: Mapping[str, Any]) -> str:
        """What a factory takes none of, or lacks, of the arguments that it is given; empty where they fit."""
        target = str(spec["_target_"]) if isinstance(spec, Mapping) and "_target_" in spec else spec
        own = spec if isinstance(spec, Mapping) else {}
        why = misfit(find(target, key, self._trust), {**own, **arguments})
        return f"{key}={target if isinstance(target, str) else name_of(target)} {why}" if why else ""

    def _check_new(self, parameters: list[nn.Parameter]) -> None:
        """Refuse a model that an earlier trial has trained already: what it starts from would depend on that trial."""
        before = {id(item) for reference in self._before if (item := reference()) is not None}
        if any(id(parameter) in before for parameter in parameters):
            raise TaskError(
                "model.factory gives parameters again that it gave before: it must build a new model every time "
                "(copy.deepcopy of one that is loaded will do)"
            )
        self._before = [weakref.ref(parameter) for parameter in parameters]

    def _check_components(self, components: Mapping[str, str]) -> None:
        for name, pattern in self.settings.components.items():
            if name not in components.values():
                raise TaskError(
                    f"model.components.{name}={pattern} matches no trained parameter; "
                    f"known: {', '.join(list(components)[:12])}"
                )

    def _head_weight(self, named: list[tuple[str, nn.Parameter]], components: Mapping[str, str]) -> Tensor | None:
        if self.head is None:
            return None
        matrices = [item for name, item in named if components[name] == self.head and item.ndim == 2]
        if not matrices:
            known = sorted(set(components.values()))
            raise TaskError(f"model.head={self.head} is no component with a weight matrix; known: {', '.join(known)}")
        return matrices[-1]


def component_of(name: str, components: Mapping[str, str]) -> str:
    """Component whose pattern fits first; without patterns the top-level module, and ``other`` where none fits."""
    for component, pattern in components.items():
        if any(fnmatchcase(name, part.strip()) for part in pattern.split("|")):
            return component
    module = "other" if components else name.split(".", maxsplit=1)[0]
    return f"{module}_" if module in RESERVED["components"] else module  # those name columns of the telemetry


def _given(spec: Spec, arguments: Mapping[str, Any] = MappingProxyType({})) -> str:
    own = spec if isinstance(spec, Mapping) else {}
    named = [f"{name}={value!r}" for name, value in {**own, **arguments}.items() if name not in RESERVED_KEYS]
    return f"; it is given {', '.join(named)}" if named else ""


def _loader(given: Any) -> DataLoader[Any] | None:
    train = given["train"] if isinstance(given, Mapping) else given[0]
    return train if isinstance(train, DataLoader) else None


def _function(spec: Any, key: str, trust: Trust) -> Any:
    function = find(spec, key, trust)
    if inspect.isclass(function):
        function = make(spec, key, trust)
    if not callable(function):
        raise TaskError(f"{key} must be a function of (output, target), got {type(function).__name__}")
    return function
