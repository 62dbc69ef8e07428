"""PF103: layers whose gradient is exactly zero."""

from __future__ import annotations

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.components import norms_of_parts
from preflight.rules.layers import Layer, layers
from preflight.rules.predicates import Array
from preflight.rules.progress import FITTED, is_fitted
from preflight.telemetry.recording import Recording

SILENT = Threshold(
    "SILENT",
    20,
    "steps at the end without any gradient, and a quarter of the run, at least",
    "a margin loss or a rarely used branch is silent for a few batches, a dead layer for good",
)


def check(recording: Recording) -> Answer:
    """Name the layers that had a gradient of zero from some step to the end, or from the start."""
    try:
        found = [layer for layer in layers(recording) if not np.isnan(layer.peak)]
    except MissingError:
        if recording.is_own:
            raise
        return _of_components(recording)
    steps = len(recording.column("gradient_norms", "overall"))
    needed = max(SILENT.value, steps / 4)
    if steps < needed:
        return too_few("gradient_norms.csv", steps, SILENT.value)
    if not found:
        return Clean()
    dead = [layer for layer in found if steps - 1 - layer.moved >= needed]
    if not dead or (len(dead) == len(found) and is_fitted(recording)):
        return Clean()
    return _finding(dead, found, steps)


def _of_components(recording: Recording) -> Answer:
    """The same of components, where layers were not recorded."""
    parts = norms_of_parts(recording)
    if (rows := max((len(norms.values) for norms in parts.values()), default=0)) < SILENT.value:
        return too_few("gradient_norms.csv", rows, SILENT.value)
    silent = {name: _silent_rows(norms.values) for name, norms in parts.items()}
    dead = {name: rows for name, rows in silent.items() if rows >= max(SILENT.value, len(parts[name].values) / 4)}
    if not dead or (len(dead) == len(parts) and is_fitted(recording)):
        return Clean()
    where = max(dead, key=dead.__getitem__)
    norms, first = parts[where], len(parts[where].values) - dead[where]
    when = "in every row" if first == 0 else f"from {norms.place(first)} on"
    others = "".join(f", {name!r}" for name in dead if name != where)
    return Finding(
        ERROR if len(dead) == len(parts) else WARNING,
        f"the gradient of {where!r} is zero {when}{f'; so is that of {others[2:]}' if others else ''}",
        (
            Evidence("components without gradient", len(dead), unit=f"of {len(parts)}"),
            Evidence("rows without gradient", dead[where], max(SILENT.value, len(norms.values) / 4), "rows"),
        ),
        (
            Remedy(
                "nothing, if it is frozen on purpose; else look for detach() and no_grad() on its way to the loss, "
                "and for units that died"
            ),
        ),
        where=where,
        step=int(norms.steps[first]),
        strength=1 + len(dead) / len(parts),
    )


def _silent_rows(norms: Array) -> int:
    """Rows at the end of ``norms[T]`` that are zero."""
    moving = np.flatnonzero(norms != 0)
    return len(norms) - 1 - int(moving[-1]) if len(moving) else len(norms)


def _finding(dead: list[Layer], found: list[Layer], steps: int) -> Finding:
    share = sum(layer.values for layer in dead) / sum(layer.values for layer in found)
    since = min(layer.moved for layer in dead) + 1
    when = "in no step" if since == 0 else f"since step {since}"
    others = f" and {len(dead) - 1} more layers" if len(dead) > 1 else ""
    verb = f"had a gradient other than zero {when}" if since == 0 else f"had a gradient of zero {when}"
    return Finding(
        ERROR if share >= 0.5 or len(dead) == len(found) else WARNING,
        f"{dead[0].name!r}{others}, {share:.0%} of the trained values, {verb}",
        (
            Evidence("layers without gradient", len(dead), unit=f"of {len(found)}"),
            Evidence("steps without gradient", steps - since, max(SILENT.value, steps / 4), "steps"),
        ),
        (
            Remedy(
                "find the units before it that give zero for every sample: a ReLU after a large negative bias or "
                "a step that was too large; LeakyReLU or GELU cannot die"
            ),
            Remedy("look for weights that all start at zero, and for detach() or no_grad() on the way to the loss"),
        ),
        where=dead[0].name,
        step=since,
        strength=1 + share,
    )


RULE = Rule(
    code="PF103",
    name="dead-layers",
    title="Layers have no gradient",
    detects="The gradient of a whole layer is exactly zero, from the start or from some step to the end of the run.",
    matters="Such a layer never changes again, and neither does what lies before it and reaches the loss through it.",
    fix="Lower the learning rate or warm up where the layer died during training; mend the initialisation where it "
    "never lived; replace ReLU by an activation that passes on some gradient everywhere.",
    check=check,
    thresholds=(SILENT, FITTED),
    causes=("PF102", "PF106", "PF202", "PF401", "PF402"),
)
