"""PF205: no warmup, where the first steps say that one is needed."""

from __future__ import annotations

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.ladder_facts import lowered_rate
from preflight.rules.predicates import RUNAWAY_RATIO, Array
from preflight.rules.schedule_facts import replayed
from preflight.telemetry.recording import Recording

SPIKE = Threshold(
    "SPIKE", 10, "times its first value is a spike of the gradient norm", "a decade; it falls in healthy first steps"
)
JUMP = Threshold(
    "JUMP", RUNAWAY_RATIO, "times its first value is a jump of the loss", "the same as for a loss that runs away"
)
LATER = Threshold("LATER", 3, "times higher is it than anything later: noise spikes come at any time", "half a decade")
EARLY = 0.1
MIN_STEPS = 40


def check(recording: Recording) -> Answer:
    """A spike of loss and gradient within the first tenth, after which the run is fine."""
    if _has_warmup(recording):
        return Clean()
    losses, norms = recording.column("losses", "total"), recording.column("gradient_norms", "overall")
    if len(losses) < MIN_STEPS:
        return too_few("losses.csv", len(losses), MIN_STEPS)
    if not (np.isfinite(losses).all() and np.isfinite(norms).all()):
        return Clean()
    if losses[0] <= 0 or norms[0] <= 0:
        return Clean()
    early = max(5, round(EARLY * len(losses)))
    jump, spike = _rise(losses, early), _rise(norms, early)
    recovers = float(np.median(losses[-len(losses) // 4 :])) < losses[0]
    if not (recovers and jump > JUMP.value and spike > SPIKE.value and _stands_alone(losses, early)):
        return Clean()
    step = int(np.argmax(losses[:early]))
    return Finding(
        WARNING,
        f"without a warmup the loss jumps to {jump:.3g} times its first value at step {step}, and the gradient norm to "
        f"{spike:.3g} times, before the run recovers",
        (
            Evidence("early peak of the loss over its first value", jump, JUMP.value, "x"),
            Evidence("early peak of the gradient norm over its first value", spike, SPIKE.value, "x"),
        ),
        (
            Remedy("warm up over the first 5% of the run", {"warmup_fraction": 0.05}),
            Remedy("or lower the learning rate", lowered_rate(recording, 3)),
        ),
        step=step,
        strength=min(100.0, jump / JUMP.value),
    )


def _has_warmup(recording: Recording) -> bool:
    try:
        return float(replayed(recording)["warmup_share"]) > 0
    except MissingError:
        return float(recording.setting("warmup_fraction") or 0.0) > 0


def _rise(values: Array, early: int) -> float:
    return float(values[:early].max() / values[0])


def _stands_alone(values: Array, early: int) -> bool:
    """Whether the peak of the first ``early`` of ``values[T]`` is far above all that comes after twice as many."""
    return bool(values[:early].max() > LATER.value * values[2 * early :].max())


RULE = Rule(
    code="PF205",
    name="no-warmup",
    title="A warmup is missing",
    detects="There is no warmup, and within the first tenth of the run the loss jumps above JUMP times and the "
    "gradient "
    "norm above SPIKE times its first value, higher than at any later time, before the run recovers.",
    matters="The first steps throw away the initialisation: their size is not known yet to an optimizer that divides "
    "by "
    "its own estimates (arXiv 1908.03265), and what was lost is learned again at best.",
    fix="Warm up over 1 to 5 percent of the run, or lower the rate.",
    check=check,
    thresholds=(SPIKE, JUMP, LATER),
)
