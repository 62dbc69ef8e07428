"""How it is searched: the `space` and `budget` groups of the configuration, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from preflight.core.errors import ConfigError, alternatives
from preflight.core.model_settings import INTERVALS
from preflight.core.params import UNTRAINED, ParamValue
from preflight.core.section import Section, check_integer, check_number

NORMALIZATIONS = (
    "none",
    "standardize",
    "log_standardize",
    "robust",
    "minmax",
    "batch_norm",
    "layer_norm",
    "per_kind",
)
TARGET_NORMALIZATIONS = ("none", "standardize")
GRADNORM, UNCERTAINTY = "gradnorm", "uncertainty"
BALANCINGS = (GRADNORM, UNCERTAINTY)
LISTS = (f"[{GRADNORM}]", f"[{UNCERTAINTY}]", f"[{GRADNORM},{UNCERTAINTY}]")


@dataclass(frozen=True)
class Axis:
    """Values of one setting: a list of ``choices``, or a range; ``None`` as a bound leaves it to the range stage."""

    choices: tuple[ParamValue, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False


@dataclass(frozen=True)
class SpaceSettings:
    """An axis per setting. A setting that is not here keeps today's value; ``None`` leaves the choice to preflight.

    ``mended`` are settings that only change where the remedy of a finding, proved by runs, asks for it. ``balancing``
    are methods whose loss weights are compared with those of the search, None where a finding decides that.
    """

    lr: Axis | None
    plain: Mapping[str, Axis]
    normalization: Mapping[str, Axis] | None
    target_normalization: Mapping[str, Axis] | None
    loss_weights: Mapping[str, Axis] | None
    mended: tuple[str, ...] = ()
    balancing: tuple[str, ...] | None = None


@dataclass(frozen=True)
class BudgetSettings:
    """Sizes of the stages. Steps are optimizer steps at today's batch size; other batch sizes see as many samples."""

    trials: int
    trial_steps: int
    rungs: int
    range_steps: int
    range_seeds: int
    candidates: int
    seeds: int
    confirm_steps: int
    validation_samples: int
    timeout_s: float | None = None


# A stage has a thousand seeds of its own, and may compare settings over three rounds of the budget's.
MAX_SEEDS = 333
# Beyond any run that ends.
MAX_COUNT = 10**9
# Two seeds are the least that show any noise at all; a run needs steps enough for its rungs and its warmup.
BOUNDS = {
    "seeds": (2, MAX_SEEDS),
    "range_seeds": (1, MAX_SEEDS),
    "rungs": (1, 1000),
    "trial_steps": (4, MAX_COUNT),
    "confirm_steps": (4, MAX_COUNT),
    "range_steps": (8, MAX_COUNT),
}
PLAIN = ("warmup_fraction", "batch_size", "shuffle", "weight_decay", "clip_norm", "scheduler_interval")
OWN = ("lr", *PLAIN)
POSITIVE = ("lr", "clip_norm")
FROM_ZERO = ("warmup_fraction", "weight_decay")
NULLABLE = ("weight_decay", "clip_norm")
AUTO = "auto"


def parse_space(values: Mapping[str, Any], extra: Mapping[str, Any], losses: tuple[str, ...]) -> SpaceSettings:
    """Check the `space` group; ``extra`` is the model's own ``space`` and wins where both name an axis."""
    known = (*OWN, "normalization", "target_normalization", "loss_weights", "balancing", "extras")
    _refuse_untrained({**values, **extra})
    extras = Section(values, "space", known).mapping("extras") | Section(extra, "model.space", known).mapping("extras")
    section = Section({**values, **extra}, "space", known)
    for name in extras:
        if name in OWN:
            raise ConfigError(f"space.extras.{name} is no parameter of a model factory; write space.{name}")
    plain = {name: (section.get(name), f"space.{name}") for name in PLAIN}
    plain |= {name: (value, f"space.extras.{name}") for name, value in extras.items()}
    weights = section.get("loss_weights", "keep")
    if isinstance(weights, Mapping):
        for name in weights:
            if name not in losses:
                raise ConfigError(f"space.loss_weights names '{name}'; {alternatives(str(name), losses)}")
    return SpaceSettings(
        lr=_axis(section.get("lr"), "space.lr", default_log=True),
        plain={name: axis for name, (value, path) in plain.items() if (axis := _axis(value, path)) is not None},
        normalization=_group(section.get("normalization", "keep"), "space.normalization", default_log=False),
        target_normalization=_group(
            section.get("target_normalization", "keep"), "space.target_normalization", default_log=False
        ),
        loss_weights=_group(weights, "space.loss_weights", default_log=True),
        mended=tuple(name for name, (value, _) in plain.items() if value == AUTO),
        balancing=_balancing(section.get("balancing", AUTO)),
    )


def _balancing(value: Any) -> tuple[str, ...] | None:
    if value in (AUTO, None):
        return None
    if value == "keep":
        return ()
    if not isinstance(value, list | tuple):
        raise ConfigError(
            f"space.balancing={value} is neither auto nor keep nor a list; {alternatives(f'[{value}]', LISTS)}"
        )
    for name in value:
        if name not in BALANCINGS:
            raise ConfigError(f"space.balancing names '{name}'; {alternatives(str(name), BALANCINGS)}")
    return tuple(dict.fromkeys(value))


def _refuse_untrained(values: Mapping[str, Any]) -> None:
    extras = values.get("extras")
    for name in UNTRAINED:
        if name in values or (isinstance(extras, Mapping) and name in extras):
            raise ConfigError(f"space.{name} is no axis: no score depends on it; it is measured where training waits")


def _group(value: Any, path: str, *, default_log: bool) -> dict[str, Axis] | None:
    """``auto`` -> None, ``keep`` -> no axis, a mapping -> an axis each."""
    if value == AUTO:
        return None
    if value == "keep":
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path} must be auto, keep, or a mapping of names to values, got {value!r}")
    axes = {str(name): _axis(item, f"{path}.{name}", default_log=default_log) for name, item in value.items()}
    return {name: axis for name, axis in axes.items() if axis is not None}


def _axis(value: Any, path: str, *, default_log: bool = False) -> Axis | None:
    if value is None or value == "keep" or (value == AUTO and path != "space.lr"):
        return None
    if isinstance(value, list | tuple):
        value = {"choices": value}
    if not isinstance(value, Mapping):
        known = "keep, a list of values," if path == "space.lr" else "keep, auto, a list of values,"
        raise ConfigError(f"{path} must be {known} or {{low: ..., high: ...}}, got {value!r}")
    section = Section(value, path, ("choices", "low", "high", "log", "integer"))
    if section.get("choices") is not None:
        return Axis(choices=_choices(section, path))
    log, integer = section.boolean("log", default_log), section.boolean("integer", False)
    low, high = (_bound(section, key, path, default_log=default_log) for key in ("low", "high"))
    _check_range(low, high, path, log=log)
    return Axis(low=low, high=high, log=log, integer=integer)


def _choices(section: Section, path: str) -> tuple[ParamValue, ...]:
    choices = section.get("choices")
    if not isinstance(choices, list | tuple) or not choices:
        raise ConfigError(f"{path}.choices must be a list of values, got {choices!r}")
    return tuple(dict.fromkeys(_checked(choice, path) for choice in choices))


def _checked(value: Any, path: str) -> ParamValue:
    """``value`` of the axis ``space.NAME`` or ``space.GROUP.NAME``."""
    _, group, *inner = path.split(".", 2)
    known = {"normalization": NORMALIZATIONS, "target_normalization": TARGET_NORMALIZATIONS}.get(group)
    if known is not None and value not in known:
        raise ConfigError(f"{path}={value} is not a normalization; {alternatives(str(value), known)}")
    if not inner and not (value is None and group in NULLABLE):
        return _own(value, group, path)
    if group == "loss_weights" and check_number(value, path) < 0:
        raise ConfigError(f"{path} must not be negative, got {value}")
    if not isinstance(value, str | int | float | bool | None):
        raise ConfigError(f"{path} takes text, numbers, true or false, got {value!r}")
    return value


def _own(value: Any, name: str, path: str) -> ParamValue:
    if name == "batch_size":
        return check_integer(value, path)
    if name == "shuffle":
        if not isinstance(value, bool):
            raise ConfigError(f"{path} must be true or false, got {value!r}")
        return value
    if name == "scheduler_interval":
        if value not in INTERVALS:
            raise ConfigError(f"{path}={value} is no unit to advance in; {alternatives(str(value), INTERVALS)}")
        return str(value)
    number = check_number(value, path, positive=name in POSITIVE)
    if name in FROM_ZERO and number < 0:
        raise ConfigError(f"{path} must not be negative, got {name}={value}")
    if name == "warmup_fraction" and number > 1:
        raise ConfigError(f"{path} is a share of the run and at most 1, got {name}={value}")
    return number


def _bound(section: Section, key: str, path: str, *, default_log: bool) -> float | None:
    value = section.get(key)
    if path == "space.lr" and value in (None, "auto"):
        return None
    if value is None:
        other = "choices: [...]" if not default_log else "high"
        raise ConfigError(f"{path}.{key} is missing; an axis is {{low: ..., high: ...}} or {{{other}}}")
    return check_number(value, f"{path}.{key}")


def _check_range(low: float | None, high: float | None, path: str, *, log: bool) -> None:
    for key, bound in (("low", low), ("high", high)):
        if bound is None:
            continue
        if log and bound <= 0:
            raise ConfigError(f"{path}.{key} must be positive on a log scale, got {key}={bound:g}")
        _checked(bound, path)
    if low is not None and high is not None and low >= high:
        raise ConfigError(f"{path}.low must be below {path}.high, got low={low:g} and high={high:g}")


def parse_budget(values: Mapping[str, Any]) -> BudgetSettings:
    """Check the `budget` group."""
    names = tuple(item.name for item in fields(BudgetSettings))
    section = Section(values, "budget", names)
    whole = {}
    for name in names:
        if name != "timeout_s":
            low, high = BOUNDS.get(name, (1, MAX_COUNT))
            whole[name] = check_integer(section.required(name, "10"), section.name(name), low=low, high=high)
    timeout = section.get("timeout_s")
    limit = None if timeout is None else check_number(timeout, "budget.timeout_s", positive=True)
    return BudgetSettings(**whole, timeout_s=limit)
