"""PF106: one component moves far more than another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from preflight.core.errors import MissingError
from preflight.core.finding import NOTE, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold, too_few
from preflight.rules.components import component_deltas, finite, lr_ratio
from preflight.rules.layers import module_of, norm_of
from preflight.rules.levels import loss_facts
from preflight.rules.progress import times_longer
from preflight.telemetry.recording import Recording

RATIO = Threshold(
    "RATIO",
    100,
    "times the relative update of another component, beyond what their learning rates differ by",
    "components of healthy runs differed by up to 25, embedding tables left out; 100 between raw weight changes is a "
    "limit that people use in the field",
)
SIZES = Threshold(
    "SIZES",
    1000,
    "times as far, where the weights are not known, is more than sizes explain: a warning, and below it a note",
    "equal steps of every value, as Adam takes them, grow with the root of their number: 1000 is a million times as "
    "many values",
)
STILL = Threshold(
    "STILL",
    1e-3,
    "of their own norm over the whole long run: random weights that move by less are as good as frozen, whatever rate "
    "was declared",
    "components of healthy runs moved by 0.05 or more within 250 steps, and even wide networks that learn in place do "
    "by a few hundredths",
)
SHARE = Threshold(
    "SHARE", 0.01, "of all values: a smaller component is not compared", "a temperature or a token has its own pace"
)
MIN_STEPS = 30
MOSTLY = 0.5  # of a component is random: biases of zero and scales of one are not drawn


def check(recording: Recording) -> Answer:
    """Compare the sum of each component's changes, relative to its weights where these are known."""
    try:
        moved = _relative_updates(recording)
    except MissingError:
        if recording.is_own:
            raise
        return _by_changes_alone(recording)
    if len(moved) < 2:
        return Clean()
    if (steps := len(recording.column("gradient_norms", "overall"))) < MIN_STEPS:
        return too_few("gradient_norms.csv", steps, MIN_STEPS)
    fast, slow = max(moved, key=moved.__getitem__), min(moved, key=moved.__getitem__)
    explained = lr_ratio(recording)
    ratio = moved[fast] / moved[slow]
    if ratio <= RATIO.value:
        return Clean()
    if ratio <= RATIO.value * explained:
        return _frozen_by_rate(recording, moved, fast, slow, explained)
    return _finding(recording, moved, fast, slow, explained)


def _by_changes_alone(recording: Recording) -> Answer:
    """Compare the sums of the changes themselves, which differ by the sizes of the components too."""
    moves = component_deltas(recording)
    if (rows := max((len(move.values) for move in moves.values()), default=0)) < MIN_STEPS:
        return too_few("weight_deltas.csv", rows, MIN_STEPS)
    ways = {name: float(finite(move.values).sum()) for name, move in moves.items() if len(move.values) >= MIN_STEPS}
    moved = {name: way for name, way in ways.items() if way > 0}
    if len(moved) < 2:
        return Clean()
    fast, slow = max(moved, key=moved.__getitem__), min(moved, key=moved.__getitem__)
    ratio, limit = moved[fast] / moved[slow], RATIO.value * lr_ratio(recording)
    if ratio <= limit:
        return Clean()
    return Finding(
        WARNING if ratio > SIZES.value * lr_ratio(recording) else NOTE,
        f"{fast!r} moved {ratio:.3g} times as far as {slow!r}, {moved[fast]:.2g} against {moved[slow]:.2g}; the "
        "weights themselves were not recorded, so that a part of this may be a matter of their sizes",
        (
            Evidence("sum of the changes of the fastest component over the slowest", ratio, limit, "x"),
            Evidence("ratio of the learning rates", lr_ratio(recording), unit="x"),
        ),
        (
            Remedy(f"hold the change of {slow!r} against the norm of its weights: near 0.001 a step is common"),
            Remedy(f"where it is far less, raise the learning rate of {slow!r}"),
        ),
        where=slow,
        strength=ratio / limit,
    )


def _frozen_by_rate(
    recording: Recording, moved: Mapping[str, float], fast: str, slow: str, explained: float
) -> Finding | Clean:
    """A declared ratio explains a slow component that was trained before, not one of random weights."""
    way = moved[slow] * times_longer(recording, len(recording.column("gradient_norms", "overall")))
    if way >= STILL.value or not _is_random(recording, slow):
        return Clean()
    return Finding(
        WARNING,
        f"{slow!r} holds random weights and is as good as frozen: over the whole long run they can move by {way:.2g} "
        f"of their norm, where {fast!r} moved by {moved[fast]:.2g}; the learning rates differ {explained:.3g} times",
        (
            Evidence(f"way of {slow!r} over its norm", way, STILL.value),
            Evidence("ratio of the learning rates", explained, unit="x"),
        ),
        (
            Remedy(f"raise the learning rate of {slow!r} to that of {fast!r}, or a tenth of it"),
            Remedy(f"load trained weights into {slow!r}, if it was to be adapted and not trained"),
        ),
        where=slow,
        strength=min(100.0, STILL.value / way),
    )


def _is_random(recording: Recording, component: str) -> bool:
    """Whether most of its weights must be drawn anew with every seed: they were not trained before."""
    try:
        fresh = min(float(fact["fresh"]) for fact in loss_facts(recording).values())
    except (MissingError, KeyError, ValueError):
        return False
    table = recording.table("parameters")
    values = recording.column("parameters", "values")
    share = values[(table["component"].astype(str) == component).to_numpy()].sum() / values.sum()
    return bool(1 - fresh < MOSTLY * share)


def _finding(recording: Recording, moved: Mapping[str, float], fast: str, slow: str, explained: float) -> Finding:
    ratio, limit = moved[fast] / moved[slow], RATIO.value * explained
    return Finding(
        WARNING,
        f"relative to its weights {fast!r} moved {ratio:.3g} times as much as {slow!r}: "
        f"{moved[fast]:.2g} against {moved[slow]:.2g}",
        (
            Evidence("relative update of the fastest component over the slowest", ratio, limit, "x"),
            Evidence("ratio of the learning rates", explained, unit="x"),
        ),
        (
            Remedy(f"give {slow!r} a higher learning rate than {fast!r}{_or_another(recording)}"),
            Remedy(f"look for what weakens the gradient on its way to {slow!r}, and for weights that begin too large"),
        ),
        where=slow,
        strength=ratio / limit,
    )


def _or_another(recording: Recording) -> str:
    """An optimizer that would move all alike, where today's is not one of them."""
    optimizer = recording.facts.get("optimizer") or {}
    if optimizer.get("scales_steps"):
        return f": that {optimizer['name']} scales each parameter's step has not made up for it"
    return ", or use an optimizer that scales each parameter's step (Adam, LARS)"


def _relative_updates(recording: Recording) -> dict[str, float]:
    """Sum of the changes over the norm of the weights, of components that are large enough and learn at all.

    Without a gradient nothing but weight decay moves a component, which is another fault (PF103).
    """
    updates, first, last, values = (
        recording.column("parameters", name)
        for name in ("update_total", "first_weight_norm", "last_weight_norm", "values")
    )
    table = recording.table("parameters")
    is_table = np.array([module_of(str(name)) in _tables(recording) for name in table["name"]], dtype=bool)
    has_gradient = _has_gradient(recording)
    owners = table["component"].astype(str).to_numpy()
    found = {}
    for name in dict.fromkeys(owners[~is_table]):
        ours = (owners == name) & ~is_table
        update, weight = norm_of(updates[ours]), norm_of(np.fmax(first, last)[ours])
        is_large = values[ours].sum() >= SHARE.value * values.sum()
        if is_large and 0 < update < np.inf and 0 < weight < np.inf and has_gradient[ours].any():
            found[str(name)] = update / weight
    return found


def _has_gradient(recording: Recording) -> npt.NDArray[np.bool_]:
    """Of every parameter whether its gradient ever was other than zero; all of them where that was not recorded."""
    if "max_gradient_norm" not in recording.table("parameters"):
        return np.full(len(recording.table("parameters")), True)
    return np.asarray(recording.column("parameters", "max_gradient_norm") != 0)


def _tables(recording: Recording) -> set[str]:
    """Modules that look rows up: a batch touches few of them, so that the whole table hardly moves."""
    return {str(item["module"]) for item in recording.fact("activations") if "Embedding" in item["type"]}


RULE = Rule(
    code="PF106",
    name="component-imbalance",
    title="One component moves far more than another",
    detects="The sum of the weight changes relative to the weights differs between components far more than the "
    "learning rates of their groups do, or a component of random weights moves by less than STILL because of its "
    "declared rate. Embedding tables are left out: a batch moves few of their rows; so are components that never had a "
    "gradient (PF103). Of a directory without "
    "parameters.csv, the changes themselves are compared, and said to be.",
    matters="The slow component is as good as frozen at the pace of the fast one, or the fast one too unsteady for "
    "the slow one to follow.",
    fix="Set the ratio of the learning rates so that both move at a similar pace, or mend what weakens the gradient.",
    check=check,
    thresholds=(RATIO, SIZES, STILL, SHARE),
)
