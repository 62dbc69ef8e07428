"""PF101: gradients that explode."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
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
MIN_STEPS = 20
Indices = npt.NDArray[np.int64]


def early_level(norms: Array) -> float:
    """Median of the first tenth of ``norms[T]``, of five steps at least, zeros left out; NaN where all are.

    Where the first of them is lower, that is the level: an explosion within five steps must not be its own measure.
    """
    first = norms[: max(5, len(norms) // 10)]
    first = first[np.isfinite(first) & (first > 0)]
    return float(min(np.median(first), first[0])) if len(first) else math.nan


def has_gained(recording: Recording, beyond: Indices) -> bool:
    """Whether the loss lay below its start in most of these steps: large gradients that come of learning.

    A network that leaves a plateau, or a head that starts near zero, has larger gradients by decades afterwards.
    """
    try:
        losses = recording.column("losses", "total")
    except MissingError:
        return False
    there = losses[beyond[beyond < len(losses)]]
    there = there[np.isfinite(there)]
    return bool(len(there) and np.median(there) < np.median(losses[: max(1, min(5, beyond[0]))]))


def check(recording: Recording) -> Answer:
    """Judge the overall norm; the component that grew most is named."""
    norms = recording.column("gradient_norms", "overall")
    broken = first_nonfinite(norms)
    finite = norms if broken is None else norms[:broken]
    level = early_level(finite)
    if broken is None and len(norms) < MIN_STEPS:
        return Clean()
    beyond = np.flatnonzero(finite > GROWTH.value * level)
    moving = int((finite > 0).sum())  # an explosion may leave units that are dead
    if len(beyond) <= SHARE.value * moving or has_gained(recording, beyond):
        return Clean()  # what is not finite without having grown is PF108
    first, growth = int(beyond[0]), float(finite.max() / level)
    where = _component(recording, first)
    evidence = (
        Evidence("largest gradient norm over the early level", growth, GROWTH.value, "x"),
        Evidence("early level", level),
        Evidence("share of the steps beyond the limit", len(beyond) / moving, SHARE.value),
    )
    return Finding(
        ERROR if broken is not None or len(beyond) > moving / 4 else WARNING,
        f"the gradient norm grew {growth:.3g} times over its early level of {level:.3g}, first beyond "
        f"{GROWTH.value:g} times at step {first}{f', most in {where!r}' if where else ''}",
        evidence,
        (Remedy("lower the learning rate", _lower(recording)), Remedy("clip gradients", {"clip_norm": 2 * level})),
        where=where,
        step=first,
        strength=growth / GROWTH.value,
    )


def _component(recording: Recording, step: int) -> str:
    """The component whose norm at ``step`` lies farthest above its own early level."""
    growth = {}
    for name in recording.names("gradient_norms"):
        norms = recording.column("gradient_norms", name)
        level = early_level(norms)
        if name != "overall" and level > 0 and math.isfinite(norms[step]):
            growth[name] = norms[step] / level
    return max(growth, key=growth.__getitem__) if growth else ""


def _lower(recording: Recording) -> dict[str, float]:
    return {"lr": recording.params.lr / 10} if "params" in recording.info else {}


RULE = Rule(
    code="PF101",
    name="exploding-gradients",
    title="Gradients explode",
    detects="The norm of the whole gradient rises far above its own early level, and not in single spikes only, nor "
    "while the loss falls below its start.",
    matters="Steps of that size undo what was learned, and the next ones are often not finite at all.",
    fix="Look first at the inputs (PF301) and the learning rate (PF201), which cause most explosions; then clip at "
    "about twice the early level, or warm up.",
    check=check,
    thresholds=(GROWTH, SHARE),
    causes=("PF103", "PF108"),
)
