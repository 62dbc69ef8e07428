"""PF101: gradients that explode."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.components import component_norms, overall_norms
from preflight.rules.ladder_facts import lowered_rate
from preflight.rules.predicates import EXPLODED_RATIO, Array, first_nonfinite
from preflight.telemetry.recording import Recording

GROWTH = Threshold(
    "GROWTH",
    EXPLODED_RATIO,
    "times the run's own early level, the median of its first tenth or the very first norm if that is lower",
    "runs that train well at norms of 1000 rule out an absolute limit; growth within healthy runs stays below 30",
)
SHARE = Threshold(
    "SHARE", 0.02, "of the steps lie beyond that: fewer are spikes", "a spike that clipping or Adam absorbs is no fault"
)
END = Threshold(
    "END", 3, "steps at the very end beyond that are no spike", "a spike is followed by steps that are smaller again"
)
MIN_STEPS = 20
Indices = npt.NDArray[np.int64]


def early_level(norms: Array) -> float:
    """Median of the first tenth of ``norms[T]``, of five steps at least, zeros left out; NaN where all are.

    Where the first of them is lower, that is the level: an explosion within five steps must not be its own measure.
    """
    first = norms[: max(5, len(norms) // 10)]
    first = first[np.isfinite(first) & (first > 0)]
    return float(min(np.median(first), first[0])) if len(first) else math.nan


def length_of_end(beyond: Indices, total: int) -> int:
    """How many of ``beyond`` are the last of ``total`` steps, without a gap."""
    is_end = beyond == np.arange(total - len(beyond), total)
    return len(beyond) if is_end.all() else int(np.argmin(is_end[::-1]))


def has_gained(recording: Recording, steps: Array) -> bool:
    """Whether the loss lay below its start in most of these steps: large gradients that come of learning.

    A network that leaves a plateau, or a head that starts near zero, has larger gradients by decades afterwards.
    """
    try:
        losses = recording.measured("losses", "total")
    except MissingError:
        return False
    there = losses.values[np.isin(losses.steps, steps) & np.isfinite(losses.values)]
    return bool(len(there) and np.median(there) < np.median(losses.values[: max(1, min(5, int(steps[0])))]))


def check(recording: Recording) -> Answer:
    """Judge the overall norm; the component that grew most is named."""
    overall = overall_norms(recording)
    norms = overall.values
    broken = first_nonfinite(norms)
    finite = norms if broken is None else norms[:broken]
    level = early_level(finite)
    if broken is None and len(norms) < MIN_STEPS:
        return _above_limit(recording, finite, len(norms))
    beyond = np.flatnonzero(finite > GROWTH.value * level)
    moving = int((finite > 0).sum())  # an explosion may leave units that are dead
    end = length_of_end(beyond, len(finite))
    is_spike = len(beyond) <= SHARE.value * moving and end < END.value
    if is_spike or has_gained(recording, overall.steps[beyond]):
        return _above_limit(recording, finite, len(norms))  # what is not finite without having grown is PF108
    first, growth = int(beyond[0]), float(finite.max() / level)
    where = _component(recording, overall.steps[first])
    parameter = _parameter(recording, where, overall.steps[first])
    is_lost = broken is not None or len(beyond) > moving / 4 or end >= END.value
    evidence = (
        Evidence("largest gradient norm over the early level", growth, GROWTH.value, "x"),
        Evidence("early level", level),
        Evidence("share of the steps beyond the limit", len(beyond) / moving, SHARE.value),
    )
    return Finding(
        ERROR if is_lost else WARNING,
        f"the gradient norm grew {growth:.3g} times over its early level of {level:.3g}, first beyond "
        f"{GROWTH.value:g} times at {overall.place(first)}{f', most in {where!r}' if where else ''}"
        f"{f', largest in {parameter!r}' if parameter not in ('', where) else ''}",
        evidence,
        (
            Remedy("lower the learning rate", lowered_rate(recording, 10)),
            Remedy("clip gradients", {"clip_norm": 2 * level}),
        ),
        where=where,
        step=int(overall.steps[first]),
        strength=growth / GROWTH.value,
    )


def _above_limit(recording: Recording, norms: Array, rows: int) -> Answer:
    """The fallback that a user may ask for: a limit on the mean norm, whatever the run began with."""
    limit = recording.facts.get("limits", {}).get("norm_above")
    mean = float(norms.mean()) if len(norms) else 0.0
    if rows < MIN_STEPS and (limit is None or not len(norms)):
        return too_few("gradient_norms.csv", rows, MIN_STEPS)
    if limit is None or mean <= limit:
        return Clean()
    return Finding(
        WARNING,
        f"the mean gradient norm of {mean:.3g} lies above the limit of {limit:g} that was asked for, without having "
        "grown beyond what is common",
        (Evidence("mean gradient norm", mean, limit),),
        (Remedy("clip gradients, if such norms are not usual for this model"),),
        strength=mean / limit,
    )


def _component(recording: Recording, step: float) -> str:
    """The component whose norm at ``step`` lies farthest above its own early level."""
    growth = {}
    for name, norms in component_norms(recording).items():
        level = early_level(norms.values)
        there = norms.values[norms.steps == step]
        if level > 0 and len(there) and math.isfinite(there[0]):
            growth[name] = there[0] / level
    return max(growth, key=growth.__getitem__) if growth else ""


def _parameter(recording: Recording, component: str, first: float) -> str:
    """The parameter of ``component`` whose norm was largest, at step ``first`` or later; empty where none is told."""
    try:
        table = recording.parameters
        norms, steps = (recording.column("parameters", name) for name in ("max_gradient_norm", "max_step"))
    except MissingError:
        return ""
    told = (table["component"].astype(str) == component).to_numpy() & np.isfinite(norms) & (steps >= first)
    return str(table["name"].iloc[int(np.where(told, norms, -1.0).argmax())]) if told.any() else ""


RULE = Rule(
    code="PF101",
    name="exploding-gradients",
    title="Gradients explode",
    detects="The norm of the whole gradient rises far above its own early level, and not in single spikes only, nor "
    "while the loss falls below its start; at the very end of a run END steps are enough. With --norm-above, "
    "`preflight analyze` holds the mean norm against an absolute limit as well.",
    matters="Steps of that size undo what was learned, and the next ones are often not finite at all.",
    fix="Look first at the inputs (PF301) and the learning rate (PF201), which cause most explosions; then clip at "
    "about twice the early level, or warm up.",
    check=check,
    thresholds=(GROWTH, SHARE, END),
    causes=("PF103", "PF108"),
)
