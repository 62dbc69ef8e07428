"""The answer of a run: change these settings, keep what you have, or cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from preflight.advise.evidence import Effect
from preflight.advise.throughput import Speed
from preflight.core.params import Params, ParamValue

CHANGE, KEEP, CANNOT_TELL = "change", "keep", "cannot_tell"


@dataclass(frozen=True)
class Change:
    """One setting that is changed.

    ``alone`` is the effect of this change by itself on today's settings, ``needed`` that of making it last, when all
    the others are made already. A setting that no score depends on has a ``speed``, and neither.
    """

    name: str
    old: ParamValue
    new: ParamValue
    alone: Effect | None
    needed: Effect | None
    speed: Speed | None = None


@dataclass(frozen=True)
class Measured:
    """Scores and metrics by seed."""

    scores: Mapping[int, float]
    metrics: Mapping[int, float]


@dataclass(frozen=True)
class Near:
    """A learning rate around the recommended one: typical and worst score over the seeds that chose it, and each."""

    lr: float
    score: float
    worst: float
    scores: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Recommendation:
    """``gain`` is measured on fresh seeds that took no part in choosing; None where nothing was left to compare.

    ``steps`` are those of the runs that ``gain``, ``before`` and ``after`` come of. ``confirmed`` is the gain on the
    seeds that chose it, where the best of many flatters itself, over the ``confirm_steps`` that ``changes`` and
    ``around`` come of. ``around`` are learning rates by rising size, where one was searched for.
    """

    decision: str
    reason: str
    today: Params
    recommended: Params
    changes: tuple[Change, ...] = ()
    gain: Effect | None = None
    before: Measured | None = None
    after: Measured | None = None
    steps: int = 0
    confirmed: Effect | None = None
    confirm_steps: int = 0
    around: tuple[Near, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recommendation:
        """Inverse of :meth:`as_dict`."""
        return cls(
            decision=values["decision"],
            reason=values["reason"],
            today=Params(**values["today"]),
            recommended=Params(**values["recommended"]),
            changes=tuple(map(_change, values["changes"])),
            gain=_effect(values["gain"]),
            before=_measured(values["before"]),
            after=_measured(values["after"]),
            steps=int(values["steps"]),
            confirmed=_effect(values["confirmed"]),
            confirm_steps=int(values["confirm_steps"]),
            around=tuple(map(_near, values["around"])),
        )


def _change(values: Mapping[str, Any]) -> Change:
    alone, needed = (_effect(values[key]) for key in ("alone", "needed"))
    speed = values.get("speed")
    return Change(
        values["name"], values["old"], values["new"], alone, needed, None if speed is None else Speed(**speed)
    )


def _effect(values: Mapping[str, Any] | None) -> Effect | None:
    return None if values is None else Effect(**values)


def _measured(values: Mapping[str, Any] | None) -> Measured | None:
    if values is None:
        return None
    return Measured(*(_by_seed(values[key]) for key in ("scores", "metrics")))


def _near(values: Mapping[str, Any]) -> Near:
    return Near(values["lr"], values["score"], values["worst"], _by_seed(values.get("scores", {})))


def _by_seed(values: Mapping[str, Any]) -> dict[int, float]:
    return {int(seed): float(value) for seed, value in values.items()}
