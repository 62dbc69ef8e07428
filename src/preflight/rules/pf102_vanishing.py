"""PF102: gradients that vanish with depth."""

from __future__ import annotations

import numpy as np

from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.layers import Layer, layers, trend_of
from preflight.telemetry.recording import Recording

RATIO = Threshold(
    "RATIO",
    1e-3,
    "of the gradient norm of the last layers: with less, the first ones do not learn",
    "in healthy runs of plain, residual, convolution, recurrent and attention networks the first layers had 0.02 or "
    "more; plain networks that stayed at chance had 1e-3 or less",
)
LOST = Threshold("LOST", 1e-6, "of it: an error", "float32 rounds away what is smaller in a sum with the rest")
TREND = Threshold(
    "TREND",
    0.9,
    "rank correlation of norm and depth at least",
    "vanishing is a factor per layer (Hochreiter 1991); one layer with a small gradient is something else",
)
MIN_LAYERS, MIN_STEPS = 4, 10


def check(recording: Recording) -> Answer:
    """Compare the median gradient norms of the first and the last quarter of the layers."""
    # A gradient of exactly zero is cut off, not shrunk: PF103 and PF410 judge that.
    found = [
        layer for layer in layers(recording) if layer.values > 1 and np.isfinite(layer.gradient) and layer.gradient
    ]
    if len(found) < MIN_LAYERS or len(recording.column("gradient_norms", "overall")) < MIN_STEPS:
        return Clean()
    norms = np.array([layer.gradient for layer in found])
    quarter = max(1, len(norms) // 4)
    first, last = float(np.median(norms[:quarter])), float(np.median(norms[-quarter:]))
    if first >= RATIO.value * last or trend_of(norms) < TREND.value:
        return Clean()
    return _finding(found, first / last)


def _finding(found: list[Layer], ratio: float) -> Finding:
    per_layer = ratio ** (1 / (len(found) - 1))
    return Finding(
        ERROR if ratio < LOST.value else WARNING,
        f"the gradient shrinks from layer to layer, by {per_layer:.2g} on average: in {found[0].name!r} it is "
        f"{ratio:.2g} times what it is in {found[-1].name!r}",
        (
            Evidence("gradient norm of the first layers over that of the last", ratio, RATIO.value),
            Evidence("layers", len(found)),
        ),
        (
            Remedy("use ReLU or GELU in place of sigmoid and tanh, and an initialisation that fits it"),
            Remedy("add residual connections or normalization layers"),
        ),
        where=found[0].name,
        strength=min(1e6, RATIO.value / ratio),
    )


RULE = Rule(
    code="PF102",
    name="vanishing-gradients",
    title="Gradients vanish with depth",
    detects="The median gradient norm falls from layer to layer towards the input, to next to nothing of what it is "
    "at the output.",
    matters="The first layers hardly change, so that the network trains its last ones on random features.",
    fix="Use activations that do not saturate with an initialisation made for them, normalization layers or residual "
    "connections; a plain deep network needs one of them.",
    check=check,
    thresholds=(RATIO, LOST, TREND),
    causes=("PF106",),
)
