"""The settings that one trial trains with."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

ParamValue: TypeAlias = str | int | float | bool | None

NESTED = ("loss_weights", "normalization", "target_normalization", "extras")
# Trials fetch their samples in their own process: the score is the same with any value of these.
UNTRAINED = ("num_workers",)


@dataclass(frozen=True)
class Params:
    """Settings of one training run.

    ``lr`` is the peak learning rate of the group whose ratio is 1. ``warmup_fraction`` is a share of the run and not
    a number of steps, so that it keeps its meaning in a shorter trial and at another batch size. ``None`` for
    ``weight_decay`` leaves the optimizer's own default, for ``clip_norm`` it means no clipping, and for
    ``scheduler_interval``, how often the user's own scheduler is advanced, what the task says. ``num_workers`` is that
    of the user's training loader, 0 for none but the main process, None without a loader. ``normalization`` names an
    option per input field, ``target_normalization`` one per target that can be scaled. ``extras`` are keyword arguments
    of the model factory.
    """

    lr: float
    batch_size: int
    warmup_fraction: float = 0.0
    shuffle: bool = True
    weight_decay: float | None = None
    clip_norm: float | None = None
    scheduler_interval: str | None = None
    num_workers: int | None = None
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    normalization: Mapping[str, str] = field(default_factory=dict)
    target_normalization: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, ParamValue] = field(default_factory=dict)

    @property
    def normalization_label(self) -> str:
        """``input: standardize, target y: standardize``; empty where nothing is normalized."""
        named = [*self.normalization.items(), *((f"target {x}", y) for x, y in self.target_normalization.items())]
        return ", ".join(f"{name}: {option}" for name, option in named if option != "none")

    def flat(self) -> dict[str, ParamValue]:
        """One level: ``loss_weights.video`` and ``normalization.input`` are dotted, extras stand by their own name."""
        flat: dict[str, ParamValue] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name not in NESTED:
                flat[item.name] = value
                continue
            prefix = "" if item.name == "extras" else f"{item.name}."
            flat |= {f"{prefix}{name}": inner for name, inner in value.items()}
        return flat

    def with_values(self, values: Mapping[str, ParamValue]) -> Params:
        """Copy with the given flat names changed; a name that is not a setting yet becomes an extra."""
        changed: dict[str, object] = {}
        nested: dict[str, dict[str, ParamValue]] = {name: dict(getattr(self, name)) for name in NESTED}
        for name, value in values.items():
            group, _, inner = name.partition(".")
            if inner and group in NESTED:
                nested[group][inner] = value
            elif name in self.__dataclass_fields__ and name not in NESTED:
                changed[name] = value
            else:
                nested["extras"][name] = value
        return replace(self, **changed, **nested)  # type: ignore[arg-type]  # names are checked above

    def undone(self, names: Collection[str], today: Params) -> Params:
        """Copy with the given flat names as ``today`` has them; an extra that it does not have is left out again."""
        ours, theirs = self.flat(), today.flat()
        kept = {name: value for name, value in ours.items() if name not in names}
        bare = replace(self, **{name: {} for name in NESTED})  # type: ignore[arg-type]  # each is a mapping
        return bare.with_values(kept | {name: theirs[name] for name in names if name in theirs})

    def changes_from(self, other: Params) -> dict[str, ParamValue]:
        """Flat settings whose value is another one here than in ``other``, in the order of the fields."""
        theirs = other.flat()
        return {name: value for name, value in self.flat().items() if theirs.get(name) != value}

    def key(self) -> tuple[tuple[str, Hashable], ...]:
        """Hashable identity of what is trained: settings that give the same scores have equal keys."""
        trained = {name: value for name, value in self.flat().items() if name not in UNTRAINED}
        return tuple((name, _hashable(value)) for name, value in sorted(trained.items()))


def _hashable(value: Any) -> Hashable:
    """A model factory's own setting may be a list or a mapping of the user's file."""
    if isinstance(value, Mapping):
        return tuple((name, _hashable(inner)) for name, inner in sorted(value.items()))
    return tuple(_hashable(inner) for inner in value) if isinstance(value, list | tuple) else value
