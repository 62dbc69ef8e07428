"""PF102: gradients that vanish with depth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.components import finite, norms_of_parts
from preflight.rules.layers import Layer, layers, trend_of
from preflight.rules.levels import last_quarter
from preflight.rules.pf101_exploding import early_level
from preflight.rules.progress import is_fitted
from preflight.telemetry.recording import Measured, Recording

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
MIN_LAYERS, MIN_STEPS, MIN_ROWS = 4, 10, 20


def check(recording: Recording) -> Answer:
    """Judge by layers where they were recorded, and else by what is left of each component's gradient at the end."""
    try:
        found = layers(recording)
    except MissingError:
        if recording.is_own:
            raise
        return _over_time(recording)
    return _with_depth(recording, found)


def _with_depth(recording: Recording, every: list[Layer]) -> Answer:
    """Compare the median gradient norms of the first and the last quarter of the layers."""
    # A gradient of exactly zero is cut off, not shrunk: PF103 and PF410 judge that.
    found = [layer for layer in every if layer.values > 1 and np.isfinite(layer.gradient) and layer.gradient]
    if len(found) < MIN_LAYERS:
        return Clean()
    if (steps := len(recording.column("gradient_norms", "overall"))) < MIN_STEPS:
        return too_few("gradient_norms.csv", steps, MIN_STEPS)
    norms = np.array([layer.gradient for layer in found])
    quarter = max(1, len(norms) // 4)
    first, last = float(np.median(norms[:quarter])), float(np.median(norms[-quarter:]))
    if first >= RATIO.value * last or trend_of(norms) < TREND.value:
        return Clean()
    return _finding(found, first / last)


def _over_time(recording: Recording) -> Answer:
    """Compare the last quarter of the norms with the first rows; a run that has fitted its data has none left."""
    left = {}
    parts = norms_of_parts(recording)
    for name, norms in parts.items():
        moving = finite(norms.values)
        early, late = early_level(moving), float(np.median(last_quarter(moving))) if len(moving) else 0.0
        if len(moving) >= MIN_ROWS and early > 0 and late > 0:
            left[name] = late / early
    shrunk = {name: ratio for name, ratio in left.items() if ratio < LOST.value}
    if not shrunk or is_fitted(recording):
        return _below_limit(recording, parts)
    where = min(shrunk, key=shrunk.__getitem__)
    others = f", and so does that of {len(shrunk) - 1} more" if len(shrunk) > 1 else ""
    return Finding(
        WARNING,
        f"the gradient of {where!r} shrinks over the run, at its end to {shrunk[where]:.2g} of its early level{others}",
        (
            Evidence("late gradient norm over the early level", shrunk[where], LOST.value),
            Evidence("components that shrank so", len(shrunk), unit=f"of {len(parts)}"),
        ),
        (
            Remedy("look at the loss: where it is near zero nothing is left to learn, and this is no fault"),
            Remedy("else look for units that saturate, and lower the learning rate that drove them there"),
        ),
        where=where,
        strength=min(1e6, LOST.value / shrunk[where]),
    )


def _below_limit(recording: Recording, parts: Mapping[str, Measured]) -> Answer:
    """The fallback that a user may ask for: a limit on the mean norm, whatever the run began with."""
    limit = recording.facts.get("limits", {}).get("norm_below")
    rows = max((len(finite(norms.values)) for norms in parts.values()), default=0)
    if rows < (MIN_ROWS if limit is None else 1):
        return too_few("gradient_norms.csv", rows, MIN_ROWS, "finite rows")
    means = {name: float(finite(norms.values).mean()) for name, norms in parts.items() if len(finite(norms.values))}
    low = {name: mean for name, mean in means.items() if limit is not None and mean < limit}
    if not low:
        return Clean()
    where = min(low, key=low.__getitem__)
    return Finding(
        WARNING,
        f"the mean gradient norm of {where!r}, {low[where]:.3g}, lies below the limit of {limit:g} that was asked for",
        (Evidence("mean gradient norm", low[where], limit),),
        (Remedy("look for what weakens the gradient on its way there, if such norms are not usual for this model"),),
        where=where,
    )


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
    title="Gradients vanish",
    detects="The median gradient norm falls from layer to layer towards the input, to next to nothing of what it is "
    "at the output. Of a directory that tells of components only: the gradient of one falls over the run to less "
    "than LOST of its early level, while the loss is not known to be fitted; with --norm-below `preflight analyze` "
    "holds its mean against an absolute limit as well.",
    matters="The first layers hardly change, so that the network trains its last ones on random features.",
    fix="Use activations that do not saturate with an initialisation made for them, normalization layers or residual "
    "connections; a plain deep network needs one of them.",
    check=check,
    thresholds=(RATIO, LOST, TREND),
    causes=("PF106",),
)
