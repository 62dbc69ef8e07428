"""PF604: memory that grows with every step."""

from __future__ import annotations

import numpy as np

from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.telemetry.recording import Recording

SETTLED = 2  # steps after which everything that is kept between steps is there
STEPS = Threshold("STEPS", 5, "steps in a row at least have to add to it", "allocators settle within two or three")


def check(recording: Recording) -> Answer:
    """Judge what is held after each of a few steps on the same batch."""
    held = np.asarray(recording.fact("memory", "after_steps"), dtype=np.float64)[SETTLED:]
    growth = np.diff(held)
    if len(growth) < STEPS.value or not (growth > 0).all():
        return Clean()
    per_step = float(np.median(growth))
    steps, capacity = recording.facts.get("schedule", {}).get("steps"), recording.facts["memory"].get("capacity")
    end = None if steps is None else held[-1] + per_step * steps
    fatal = capacity is not None and end is not None and end > capacity
    return Finding(
        ERROR if fatal else WARNING,
        f"every step holds on to {per_step / 2**10:.3g} KiB more than the one before"
        + (f", {end / 2**30:.3g} GiB at the end of the run" if end is not None else ""),
        (
            Evidence("steps in a row that add to it", len(growth), STEPS.value),
            Evidence("growth per step", per_step, 0.0, "bytes"),
        ),
        (Remedy("keep numbers and not tensors: loss.item() or loss.detach() in lists, meters and buffers"),),
    )


RULE = Rule(
    code="PF604",
    name="memory-growing",
    title="Memory grows with every step",
    detects="On one batch, trained on again and again, what is held after a step rises with each of at least STEPS "
    "steps.",
    matters="A long run ends out of memory, hours after it began.",
    fix="A loss or an output that is kept with its graph keeps all of the step's activations: detach what is kept.",
    check=check,
    thresholds=(STEPS,),
)
