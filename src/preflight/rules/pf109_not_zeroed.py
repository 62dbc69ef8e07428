"""PF109: gradients that are never set to zero."""

from __future__ import annotations

from preflight.core.finding import ERROR, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule
from preflight.telemetry.recording import Recording


def check(recording: Recording) -> Answer:
    """Ask what was seen beside the user's own loop; norms alone cannot tell it from a large batch."""
    if not recording.fact("loop", "stale_gradients"):
        return Clean()
    return Finding(
        ERROR,
        "gradients of earlier steps are still there when backward() is called: they are never set to zero",
        (Evidence("gradients before backward()", "those of the step before", "none or zero"),),
        (Remedy("call optimizer.zero_grad() once for every optimizer.step()"),),
        where="optimizer.zero_grad",
        strength=10.0,
    )


RULE = Rule(
    code="PF109",
    name="gradients-not-zeroed",
    title="Gradients are never set to zero",
    detects="Beside a user's own training loop: after an optimizer step, the next backward() adds to the gradients of "
    "the step before.",
    matters="The gradient is the sum over the whole run, a momentum that never forgets: the loss swings or diverges.",
    fix="Call optimizer.zero_grad() after every optimizer.step(), and nowhere between the backward() calls that are "
    "meant to accumulate.",
    check=check,
    causes=("PF101", "PF108", "PF201"),
)
