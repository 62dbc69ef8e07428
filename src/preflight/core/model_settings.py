"""What is trained: the `model` group of the configuration, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from preflight.core.errors import ConfigError, alternatives
from preflight.core.params import NESTED, Params
from preflight.core.section import Section, check_integer, check_number
from preflight.core.units import UNITS, split_unit

# A dotted name, a mapping with `_target_`, or (from Python) the object itself.
Spec: TypeAlias = str | Mapping[str, Any] | Callable[..., Any] | tuple[Any, ...]

SCHEDULES = ("constant", "cosine", "linear")
# What `model.schedule` reads as where `model.scheduler` takes its place; no word that can be configured.
OWN_SCHEDULE = "own"
INTERVALS = ("step", "epoch")
# One kernel for all parameters: on small models a third of the step otherwise.
DEFAULT_OPTIMIZER = {"_target_": "torch.optim.AdamW", "fused": True}
GOALS = ("minimize", "maximize")
FIELD_KINDS = ("continuous", "heavy_tailed", "count", "binary", "identifier", "image", "tokens", "constant")
# Columns of the telemetry that a loss or a component of the same name would overwrite.
RESERVED = {"losses": ("epoch", "step", "total", "score", "metric"), "components": ("epoch", "overall")}
# Settings that there is one of for each loss or field.
NAMED = ("loss_weights", "normalization", "target_normalization")
OWN_SETTINGS = tuple(item.name for item in fields(Params) if item.name not in (*NESTED, "warmup_fraction"))


@dataclass(frozen=True)
class LossSettings:
    """A named loss ``function(output, target)``; the names pick entries where there are several."""

    function: Spec
    output: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class MetricSettings:
    """A metric ``function(output, target)`` in its own units, over the whole validation set."""

    name: str
    function: Spec
    goal: str


@dataclass(frozen=True)
class FieldSettings:
    """What a user knows of an input field: names of its features, their kinds, its padding mask.

    ``axis`` is that of its features in a batch; without one it is the last, or found out where there is doubt.
    """

    features: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    mask: str | None = None
    axis: int | None = None


@dataclass(frozen=True)
class ModelSettings:
    """The task: model, data, losses, today's settings, and the file that holds them.

    ``scheduler`` makes an LR scheduler of an optimizer, advanced once per ``scheduler_interval``; ``schedule`` is then
    :data:`OWN_SCHEDULE`. ``log_every_steps`` is how often the long run logs. ``checkpoint`` holds the weights that
    every network starts from; None for those that the factory gives it.
    """

    name: str
    factory: Spec
    data: Spec
    losses: Mapping[str, LossSettings]
    metric: MetricSettings | None
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    fields: Mapping[str, FieldSettings]
    components: Mapping[str, str]
    head: str | None
    optimizer: Spec
    lr_ratios: Mapping[str, float]
    schedule: str
    scheduler: Spec | None
    scheduler_interval: str
    horizon_steps: int | None
    log_every_steps: int | None
    baseline: Mapping[str, Any]
    config: Path | None
    mapping: Mapping[str, str]
    checkpoint: Path | None
    space: Mapping[str, Any]
    folder: Path | None


KNOWN = tuple(item.name for item in fields(ModelSettings) if item.name != "folder")


def parse_model(values: Mapping[str, Any], *, name: str, folder: Path | None) -> ModelSettings:
    """Check the `model` group; ``folder`` is where its YAML file lies, for the path of the file to correct."""
    section = Section(values, "model", KNOWN)
    losses = section.required("losses", "{cross_entropy: torch.nn.functional.cross_entropy}")
    if not isinstance(losses, Mapping) or not losses:
        raise ConfigError(f"model.losses must map names to losses, got {losses!r}")
    components = section.mapping("components")
    for group, names in (("losses", losses), ("components", components)):
        _refuse_reserved(group, names)
    mapping = {key: _path(key, value) for key, value in section.mapping("mapping").items()}
    baseline = section.mapping("baseline")
    for where, settings in (("mapping", mapping), ("baseline", baseline)):
        _check_names(settings, f"model.{where}", tuple(losses))
    config = section.text("config")
    if mapping and config is None:
        raise ConfigError("model.mapping is given without model.config, the file that it maps into")
    horizon, interval = section.get("horizon_steps"), section.get("log_every_steps")
    return ModelSettings(
        name=section.text("name", name) or name,
        factory=section.required("factory", "{_target_: my_module.build_model}"),
        data=section.required("data", "{_target_: my_module.load_data}"),
        losses={str(key): _loss(value, f"model.losses.{key}") for key, value in losses.items()},
        metric=_metric(section.get("metric")),
        inputs=section.names("inputs"),
        targets=section.names("targets"),
        fields={key: _field(value, f"model.fields.{key}") for key, value in section.mapping("fields").items()},
        components={key: str(value) for key, value in components.items()},
        head=section.text("head"),
        optimizer=section.get("optimizer", DEFAULT_OPTIMIZER),
        lr_ratios={
            key: check_number(value, f"model.lr_ratios.{key}", positive=True)
            for key, value in section.mapping("lr_ratios").items()
        },
        schedule=_schedule(section),
        scheduler=section.get("scheduler"),
        scheduler_interval=section.choice("scheduler_interval", "step", INTERVALS),
        horizon_steps=None if horizon is None else check_integer(horizon, "model.horizon_steps"),
        log_every_steps=None if interval is None else check_integer(interval, "model.log_every_steps"),
        baseline=baseline,
        config=None if config is None else Path(config),
        mapping=mapping,
        checkpoint=_checkpoint(section),
        space=section.mapping("space"),
        folder=folder,
    )


def _checkpoint(section: Section) -> Path | None:
    text = section.text("checkpoint")
    if text == "":
        raise ConfigError("model.checkpoint is empty; give model.checkpoint=PATH, or leave it out")
    return None if text is None else Path(text).expanduser()


def _schedule(section: Section) -> str:
    if section.get("scheduler") is None:
        if section.get("scheduler_interval") is not None:
            raise ConfigError("model.scheduler_interval is given without model.scheduler, which it is said of")
        return section.choice("schedule", "constant", SCHEDULES)
    if section.get("schedule") is not None:
        raise ConfigError(
            f"model.schedule={section.get('schedule')} and model.scheduler are both given, and there is one learning "
            "rate: keep model.scheduler if the long run uses it, else model.schedule"
        )
    return OWN_SCHEDULE


def _refuse_reserved(group: str, names: Mapping[str, Any]) -> None:
    for name in names:
        if "/" in str(name) or str(name).startswith("val_"):
            raise ConfigError(f"model.{group}.{name}: a name must not hold a slash or begin with val_")
        if name in RESERVED[group]:
            raise ConfigError(
                f"model.{group}.{name} has the name of a column of the telemetry; any but {', '.join(RESERVED[group])}"
            )


def _path(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"model.mapping.{key} must be a dotted key of the file to correct, got {value!r}")
    return value


def _check_names(names: Mapping[str, object], where: str, losses: tuple[str, ...]) -> None:
    """Refuse nested names that cannot exist; a plain unknown name may be a parameter of the factory."""
    for name in names:
        group, _, inner = name.partition(".")
        if not inner and group in NAMED:
            raise ConfigError(f"{where}.{group} is written with one key for each name: {_flat(group, names[name])}")
        if group == "loss_weights" and inner not in losses:
            raise ConfigError(f"{where} names the loss weight '{name}'; {alternatives(inner, losses)}")
        if inner and group not in NAMED:
            known = (*OWN_SETTINGS, "loss_weights.NAME", "normalization.FIELD", "target_normalization.FIELD")
            raise ConfigError(f"{where} names the setting '{name}'; {alternatives(name, known)}")
    for stem in ("warmup", "horizon"):
        given = [name for name in names if (split_unit(name) or ("",))[0] == stem]
        if len(given) > 1:
            raise ConfigError(f"{where} gives the {stem} twice: {', '.join(given)}; keep one of the units {UNITS}")


def _flat(group: str, value: object) -> str:
    """``loss_weights.reg: 2``: as a setting by name has to be written."""
    given = value if isinstance(value, Mapping) and value else {"NAME": "..."}
    return ", ".join(f"{group}.{name}: {inner}" for name, inner in given.items())


def _loss(value: Any, where: str) -> LossSettings:
    if not isinstance(value, Mapping) or "_target_" in value:
        return LossSettings(value)
    section = Section(value, where, ("function", "output", "target"))
    function = section.required("function", "torch.nn.functional.mse_loss")
    return LossSettings(function, section.text("output"), section.text("target"))


def _metric(value: Any) -> MetricSettings | None:
    if value is None:
        return None
    section = Section(value, "model.metric", ("name", "function", "goal"))
    function = section.required("function", "preflight.tasks.metrics.accuracy")
    name = section.text("name") or (function.rsplit(".", 1)[-1] if isinstance(function, str) else "metric")
    if section.get("goal") is None:
        raise ConfigError(f"model.metric.goal is missing: say whether {name} is to {' or '.join(GOALS)}")
    return MetricSettings(name, function, section.choice("goal", "", GOALS))


def _field(value: Any, where: str) -> FieldSettings:
    section = Section(value, where, ("features", "kind", "mask", "axis"))
    axis = section.get("axis")
    settings = FieldSettings(
        section.names("features"),
        section.names("kind"),
        section.text("mask"),
        None if axis is None else check_integer(axis, f"{where}.axis"),
    )
    for kind in settings.kind:
        if kind not in FIELD_KINDS:
            raise ConfigError(f"{where}.kind={kind} is not a kind of field; {alternatives(kind, FIELD_KINDS)}")
    if len(settings.kind) > 1 and len(settings.kind) != len(settings.features):
        raise ConfigError(
            f"{where}.kind lists {len(settings.kind)} kinds for {len(settings.features)} features; "
            "give one kind, or one for each name in features"
        )
    return settings
