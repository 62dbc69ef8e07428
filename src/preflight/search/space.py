"""The search space as Optuna distributions, today's settings always inside it (but for a zero on a log scale)."""

from __future__ import annotations

from collections.abc import Mapping

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from preflight.core.errors import ConfigError, alternatives
from preflight.core.params import Params, ParamValue
from preflight.core.search_settings import PLAIN, Axis, SpaceSettings

# Width of the learning rate's range where a bound of the user's lies beyond what the range stage would search.
LR_ROOM = 1000.0
# `loss_weights: auto` of every scored loss after the first, relative to today's weight.
AUTO_WEIGHT_LOW, AUTO_WEIGHT_HIGH = 1e-3, 1e2


def distributions(
    space: SpaceSettings,
    today: Params,
    lr_bounds: tuple[float, float],
    options: Mapping[str, tuple[str, ...]],
    factory_parameters: tuple[str, ...] | None,
    scored: tuple[str, ...],
) -> dict[str, BaseDistribution]:
    """Distribution per flat setting name.

    ``lr_bounds`` fill in what the space leaves to the range stage; ``options`` are the normalizations that make
    sense, by setting (``normalization.input``), ``scored`` the losses that the score is made of. Raises
    :class:`ConfigError` for an extra that the factory does not take, a field that is not there, or the weight of a loss
    that is not scored.
    """
    axes: dict[str, Axis] = {}
    if space.lr is not None:
        low, high = lr_bounds
        axes["lr"] = space.lr if space.lr.choices else _lr_axis(space.lr, low, high, today.lr)
    axes |= space.plain
    for group in ("normalization", "target_normalization"):
        axes |= _normalizations(getattr(space, group), group, options)
    axes |= {f"loss_weights.{name}": axis for name, axis in _weights(space, today, scored).items()}
    _check_extras(space, factory_parameters)
    flat = today.flat()
    return {name: _distribution(name, axis, flat.get(name)) for name, axis in axes.items()}


def _lr_axis(axis: Axis, low: float, high: float, today: float) -> Axis:
    """Bounds that the user gave stay; the others hold today's rate, and leave room where they would cross."""
    low, high = axis.low or min(low, today), axis.high or max(high, today)
    if low >= high:
        low, high = (low, low * LR_ROOM) if axis.low else (high / LR_ROOM, high)
    return Axis(low=low, high=high, log=axis.log)


def _normalizations(
    axes: Mapping[str, Axis] | None, group: str, options: Mapping[str, tuple[str, ...]]
) -> dict[str, Axis]:
    fields = {name.split(".", 1)[1]: choices for name, choices in options.items() if name.startswith(f"{group}.")}
    if axes is None:
        return {f"{group}.{name}": Axis(choices=choices) for name, choices in fields.items() if len(choices) > 1}
    for name in axes:
        if name not in fields:
            raise ConfigError(f"space.{group} names the field '{name}'; {alternatives(name, fields)}")
    return {f"{group}.{name}": axis for name, axis in axes.items()}


def _weights(space: SpaceSettings, today: Params, scored: tuple[str, ...]) -> dict[str, Axis]:
    """Weights of losses that the score sees: that of a penalty would be lowered without end, and nothing lost by it."""
    if space.loss_weights is not None:
        for name in space.loss_weights:
            if name not in scored:
                raise ConfigError(
                    f"space.loss_weights names '{name}', which no score can weigh: a constant output satisfies it; "
                    f"the others are {', '.join(scored)}"
                )
        return dict(space.loss_weights)
    names = [name for name in today.loss_weights if name in scored][1:]  # only their ratios matter to a step
    return {
        name: Axis(
            low=today.loss_weights[name] * AUTO_WEIGHT_LOW,
            high=today.loss_weights[name] * AUTO_WEIGHT_HIGH,
            log=True,
        )
        for name in names
        if today.loss_weights[name] > 0
    }


def _check_extras(space: SpaceSettings, factory_parameters: tuple[str, ...] | None) -> None:
    for name in space.plain:
        if name not in PLAIN and factory_parameters is not None and name not in factory_parameters:
            raise ConfigError(
                f"space.extras names '{name}', which model.factory does not take; "
                f"{alternatives(name, factory_parameters)}"
            )


def _distribution(name: str, axis: Axis, today: ParamValue) -> BaseDistribution:
    if axis.choices:
        return CategoricalDistribution(axis.choices if today in axis.choices else (today, *axis.choices))
    assert axis.low is not None and axis.high is not None
    if axis.integer or name == "batch_size":
        return IntDistribution(round(axis.low), round(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)
