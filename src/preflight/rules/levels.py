"""Where a recorded loss stands: its late level, and whether that is the best constant predictor's or chance's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.rules.base import Threshold
from preflight.rules.predicates import Array, are_decreasing
from preflight.telemetry.recording import Recording

MARGIN = Threshold(
    "MARGIN",
    0.05,
    "of the best constant predictor's loss: less below it is not below it",
    "the constant is fitted and measured on samples; of a few hundred its loss varies by a few percent",
)
ABOVE = Threshold(
    "ABOVE",
    0.25,
    "of the best constant predictor's loss: farther above it, a loss is not stuck at it",
    "a step size that shakes a constant output costs less than that; farther off, the output is no constant",
)
FALL = Threshold(
    "FALL",
    0.005,
    "of its level, over half of the run: a loss that falls by less is as good as level",
    "at that pace a loss takes a hundred such runs to halve",
)
MIN_STEPS = Threshold(
    "MIN_STEPS",
    100,
    "steps at least",
    "healthy networks leave the constant within tens of steps, slow ones within a few hundred",
)
WISHED = Threshold(
    "WISHED",
    0.1,
    "of the largest weight: a loss that weighs less is an aside, of which nobody asks that it is learned in time",
    "weights of main tasks lie within a decade of each other; auxiliary ones and penalties below",
)
PRESSING = Threshold(
    "PRESSING",
    10.0,
    "times the gradient of each other loss has a penalty that decides what is learned, before training and later",
    "variational autoencoders that train well have 0.002 to 1.1",
)
SATISFIED = Threshold(
    "SATISFIED",
    0.01,
    "of what a penalty began with is left of it at the end",
    "a code that is used costs as much as it tells: of digits the divergence grows from 0.15 to 2 where it is learned",
)
LEARNED = 0.9  # of the constant's loss: below, something of the input is used
# A constant output that has next to no loss: a penalty or a divergence, which is at its best where nothing is learned.
TRIVIAL = 1e-3
CAP = 100.0


@dataclass(frozen=True)
class Level:
    """Mean of some values and its standard error."""

    mean: float
    error: float


@dataclass(frozen=True)
class Stuck:
    """A loss whose late level is that of guessing."""

    name: str
    late: float
    constant: float
    steps: int


def level_of(values: Array) -> Level:
    """Mean of ``values[T]`` and its standard error; NaN for fewer than two."""
    if len(values) < 2:
        return Level(math.nan, math.nan)
    return Level(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))))


def known(values: Array) -> Array:
    """``values[T]`` without the steps at which nothing was measured."""
    return values[~np.isnan(values)]


def last_quarter(values: Array) -> Array:
    """The end of ``values[T]``; four values at least."""
    return values[-max(4, len(values) // 4) :]


def loss_facts(recording: Recording) -> dict[str, Mapping[str, Any]]:
    """What the probe of the losses found, by loss; raises :class:`MissingError` where it did not look."""
    found = recording.fact("losses")
    return {str(name): entry for name, entry in found.items()} if isinstance(found, Mapping) else {}


def is_trivial(fact: Mapping[str, Any]) -> bool:
    """Whether a constant output leaves next to nothing of a loss, or it is not known what it leaves."""
    constant, initial = fact.get("constant"), fact.get("initial")
    if constant is None or not math.isfinite(constant):
        return True
    return bool(abs(constant) <= TRIVIAL * max(abs(initial or 0.0), 1e-9))


def training_constant(fact: Mapping[str, Any]) -> float:
    """Loss of the best constant on the training samples; on the others where that is all that is known.

    The two differ by the chance of the samples, by a tenth and more where they are few or their tails are heavy.
    """
    own = fact.get("constant_training")
    return float(fact["constant"] if own is None or not math.isfinite(own) else own)


def constant_total(facts: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Weighted sum of the best constants' training losses; None where one of them is not known."""
    if not facts or any(fact.get("constant") is None for fact in facts.values()):
        return None
    return math.fsum(fact.get("weight", 1.0) * training_constant(fact) for fact in facts.values())


def strength_of(value: float, limit: float) -> float:
    """How far ``value`` lies beyond ``limit``, at least 1 and not without end."""
    ratio = abs(value / limit) if limit else CAP
    return min(CAP, max(1.0, ratio)) if math.isfinite(ratio) else CAP


def stuck_at_constant(
    recording: Recording, name: str, fact: Mapping[str, Any], *, may_fall: bool = False
) -> Stuck | None:
    """Whether a loss ends at the level of the best constant predictor, or of chance, and no longer falls.

    Both the training and the validation values have to say so, and beyond the noise of the batches. ``may_fall``:
    where something else proves that the output is a constant, a loss may still be on its way down to that level.
    """
    values = recording.column("losses", name)
    if len(values) < MIN_STEPS.value or not np.isfinite(values).all():
        return None
    constant, chance = training_constant(fact), fact.get("chance")
    low = _below(constant)
    high = max(constant, chance or constant) + ABOVE.value * abs(constant)
    late = level_of(last_quarter(values))
    is_near = late.mean <= high or _is_at_start(late.mean, fact)
    falls = not may_fall and keeps_falling(values[len(values) // 2 :])
    if late.mean - 2 * late.error < low or not is_near or falls:
        return None
    validation = _validation(recording, name)
    if len(validation) and _is_below(validation, _below(float(fact["constant"])), may_fall=may_fall):
        return None
    return Stuck(name, late.mean, constant, len(values))


def _below(constant: float) -> float:
    return constant - MARGIN.value * abs(constant)


def _is_below(validation: Array, low: float, *, may_fall: bool) -> bool:
    is_low = bool(validation[-max(1, len(validation) // 4) :].mean() < low)
    return is_low or (not may_fall and is_falling(validation))


def keeps_falling(values: Array) -> bool:
    """Whether ``values[T]`` show a fall beyond noise that would lead somewhere: FALL of their level at least."""
    size = max(4, len(values) // 4)
    early, late = float(values[:size].mean()), float(values[-size:].mean())
    return early - late > FALL.value * abs(early) and are_decreasing([values])


def _is_at_start(late: float, fact: Mapping[str, Any]) -> bool:
    """Whether a loss is still where it began: not even the constant was learned."""
    initial = fact.get("initial")
    return initial is not None and abs(late - initial) <= ABOVE.value * abs(initial)


def _validation(recording: Recording, name: str) -> Array:
    try:
        return known(recording.column("losses", f"val_{name}"))
    except MissingError:
        return np.zeros(0)


def is_falling(values: Array) -> bool:
    """Whether each of the last few of ``values[T]``, which hardly vary by chance, lies clearly below those before."""
    if len(values) < 4:
        return False
    half = values[len(values) // 2 :]
    span = abs(float(half[0])) or 1.0
    return bool((np.diff(half) < 0).all() and half[0] - half[-1] > 0.01 * span)


def all_stuck(recording: Recording) -> list[Stuck]:
    """Every loss that a constant can be compared with, if all of them are stuck there; else none.

    One that learns while another does not may be as it has to be: adversaries, penalties, auxiliary losses.
    """
    facts = {name: fact for name, fact in loss_facts(recording).items() if not is_trivial(fact)}
    if not facts:
        raise MissingError("no loss has a best constant predictor to compare with")
    may_fall = satisfied_penalty(recording) is not None
    found = [stuck_at_constant(recording, name, fact, may_fall=may_fall) for name, fact in facts.items()]
    return [item for item in found if item is not None] if all(item is not None for item in found) else []


def satisfied_penalty(recording: Recording) -> str | None:
    """A penalty or divergence that outweighs all other losses and ends as a constant output leaves it: what it is
    taken of tells nothing of the input. None where there is none, or its gradient is not known.
    """
    facts = loss_facts(recording)
    for name, fact in facts.items():
        constant, initial = fact.get("constant"), fact.get("initial")
        if constant is None or initial is None or not is_trivial(fact) or not _presses(facts, name):
            continue
        if name not in recording.losses:
            continue
        late = level_of(last_quarter(recording.column("losses", name))).mean
        if late - constant <= SATISFIED.value * (initial - constant):
            return name
    return None


def _presses(facts: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Whether the weighted gradient of a loss is PRESSING times that of each other one, at first and later."""
    others = [fact for other, fact in facts.items() if other != name]
    for key in ("share", "share_later"):
        own = facts[name].get(key)
        if own is None and key == "share_later":
            continue
        if not others or not own or any(PRESSING.value * (fact.get(key) or 0.0) >= own for fact in others):
            return False
    return True


def stuck_beside(recording: Recording) -> list[tuple[Stuck, str]]:
    """Losses of a target that are stuck at a constant's level, with the name of one that is learned beside them.

    Left out are those with a weight below WISHED of the largest, which somebody wanted small, and those that once
    were below the level: adversaries take back what was learned.
    """
    facts = {name: fact for name, fact in loss_facts(recording).items() if not is_trivial(fact)}
    learned = next((name for name, fact in facts.items() if _is_learned(recording, name, fact)), None)
    if learned is None:
        return []
    largest = max(abs(float(fact.get("weight", 1.0))) for fact in facts.values())
    found = []
    for name, fact in facts.items():
        is_wanted = fact.get("target") is not None and abs(float(fact.get("weight", 1.0))) >= WISHED.value * largest
        stuck = stuck_at_constant(recording, name, fact) if is_wanted and float(fact["constant"]) > 0 else None
        if stuck is not None and not _was_below(recording, name, fact):
            found.append((stuck, learned))
    return found


def _is_learned(recording: Recording, name: str, fact: Mapping[str, Any]) -> bool:
    values = recording.column("losses", name)
    constant = training_constant(fact)
    return constant > 0 and level_of(last_quarter(values)).mean < LEARNED * constant


def _was_below(recording: Recording, name: str, fact: Mapping[str, Any]) -> bool:
    """Whether any tenth of the run lay clearly below the constant's level, or a validation did."""
    values = recording.column("losses", name)
    size = max(10, len(values) // 10)
    parts = [values[begin : begin + size].mean() for begin in range(0, len(values) - size + 1, size)]
    validation = min(_validation(recording, name), default=math.inf)
    return bool(
        min(parts, default=math.inf) < _below(training_constant(fact)) or validation < _below(float(fact["constant"]))
    )
