"""PF104: parameters that are not trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, NOTE, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.components import component_deltas, has_gradient
from preflight.rules.layers import module_of
from preflight.telemetry.recording import Recording

SHARE = Threshold(
    "SHARE",
    0.01,
    "of all values: fewer that are left idle are a note",
    "an unused pooling or bias layer of a ready-made model costs nothing",
)
LARGE = Threshold("LARGE", 0.25, "of all values left idle: an error", "most of what was meant to learn stays random")
GRADIENT = Threshold(
    "GRADIENT",
    1e-6,
    "of the largest gradient norm: with less, a parameter may stand still by rounding",
    "a bias in front of a batch norm has only the gradient that rounding leaves",
)
CONSTANT = Threshold(
    "CONSTANT",
    1.0,
    "values that train for each output of a head: with no more than that, all that is left to learn is a constant",
    "definition: the best constant predictor has one free value for each output",
)
# Reason -> what to do, in the order in which they are told.
REASONS = {
    "is no parameter of the model, so that no optimizer sees it": "hold layers in nn.ModuleList or nn.ModuleDict in "
    "place of a list or dict, and tensors in nn.Parameter",
    "is trained but not in the optimizer": "give the optimizer all parameters of the model",
    "gets no gradient": "find the detach(), no_grad(), item() or numpy() on its way to the loss, or take it out of "
    "the model if it is not used",
    "has a gradient and does not change": "check the learning rate of its group",
    "is frozen at values drawn at random": "load the weights that it was frozen for, or train it",
}
MIN_ROWS = 20
Idle = Mapping[str, Sequence[tuple[str, int]]]


def check(recording: Recording) -> Answer:
    """Judge by what the probe saw before training, and by what changed in a run."""
    facts = _facts(recording)
    try:
        rows = _rows(recording)
    except MissingError as error:
        rows = None
        if facts is None:
            if recording.is_own:
                raise MissingError(f"{error}, and no probe has looked at 'parameters'") from error
            return _of_components(recording, str(error))
    idle: dict[str, list[tuple[str, int]]] = {reason: [] for reason in REASONS}
    stray, left_out, silent, _, frozen = REASONS
    for item in facts or ():
        named = str(item["name"]), int(item["values"])
        if not item.get("registered", True):
            idle[stray] += [] if item.get("of_loss") else [named]
        elif item["trained"] and not item["in_optimizer"]:
            idle[left_out].append(named)
        elif item["trained"] and not item["has_gradient"] and rows is None:
            idle[silent].append(named)
        elif not item["trained"] and item.get("random"):
            idle[frozen].append(named)
    for key, found in (rows or {}).items():
        idle[key] += found
    total = sum(int(item["values"]) for item in facts or ()) or _recorded_values(recording)
    told = {reason: found for reason, found in idle.items() if found}
    if not told:
        return Clean()
    return _finding(told, total, None if facts is None else _trained(facts, told), _outputs(recording))


def _facts(recording: Recording) -> list[Mapping[str, Any]] | None:
    try:
        return list(recording.fact("parameters"))
    except MissingError:
        return None


def _of_components(recording: Recording, missing: str) -> Answer:
    """Components that have a gradient, as far as that is known, and whose every recorded change is zero."""
    try:
        moves = component_deltas(recording)
    except MissingError as error:
        raise MissingError(f"{missing}, {error}, and no probe has looked at 'parameters'") from error
    long = {name: move.values for name, move in moves.items() if len(move.values) >= MIN_ROWS}
    still = [name for name, changes in long.items() if not changes.any() and has_gradient(recording, name) is not False]
    if not still:
        return Clean()
    others = f"; neither does {', '.join(map(repr, still[1:]))}" if len(still) > 1 else ""
    pulled = "has a gradient and" if has_gradient(recording, still[0]) else "(of its gradient nothing is known)"
    return Finding(
        ERROR if len(still) == len(moves) else WARNING,
        f"{still[0]!r} {pulled} does not change in any of {len(long[still[0]])} rows{others}",
        (Evidence("components that do not change", len(still), unit=f"of {len(moves)}"),),
        (
            Remedy(
                "check the learning rate of its group, and that it is in the optimizer, unless it is meant to be frozen"
            ),
        ),
        where=still[0],
        strength=1 + len(still) / len(moves),
    )


def _rows(recording: Recording) -> dict[str, list[tuple[str, int]]]:
    """Parameters that never had a gradient in the run, and layers that had one and did not change."""
    peaks = recording.column("parameters", "max_gradient_norm")
    medians = recording.column("parameters", "median_gradient_norm")
    changes = recording.column("parameters", "update_total")
    values = recording.column("parameters", "values")
    broken = recording.column("parameters", "first_nonfinite_step")
    if "name" not in recording.table("parameters"):
        raise MissingError("parameters.csv has no column 'name'")
    names = [str(name) for name in recording.table("parameters")["name"]]
    _, _, silent, still, _ = REASONS
    named = [(name, int(count)) for name, count in zip(names, values, strict=True)]
    never = np.isnan(peaks) & (broken < 0) & (len(recording.column("gradient_norms", "overall")) > 0)
    moving = {module_of(name) for name, change in zip(names, changes, strict=True) if change != 0}
    largest = np.nanmax(medians, initial=0.0)
    pulled = (changes == 0) & (medians > GRADIENT.value * largest)
    stands = pulled & np.array([module_of(name) not in moving for name in names], dtype=bool)
    return {
        silent: [item for item, is_idle in zip(named, never, strict=True) if is_idle],
        still: [item for item, is_idle in zip(named, stands, strict=True) if is_idle],
    }


def _recorded_values(recording: Recording) -> int:
    return int(recording.column("parameters", "values").sum())


def _trained(facts: Sequence[Mapping[str, Any]], told: Idle) -> int:
    """Values that train at all."""
    idle = {name for found in told.values() for name, _ in found}
    reached = [item for item in facts if item["trained"] and item["in_optimizer"] and item["name"] not in idle]
    return sum(int(item["values"]) for item in reached)


def _outputs(recording: Recording) -> int:
    """Outputs of the largest head, along the shortest axis of each; 0 where none was seen."""
    losses = (recording.facts.get("losses") or {}).values()
    shapes = [fact["output_shape"] for fact in losses if fact.get("output_shape") is not None]
    return max((int(min(shape, default=1)) for shape in shapes), default=0)


def _finding(told: Idle, total: int, trained: int | None, outputs: int) -> Finding:
    shares = {reason: sum(count for _, count in found) / total for reason, found in told.items()}
    reason = max(shares, key=shares.__getitem__)
    share = sum(shares.values())
    name, count = told[reason][0][0], len(told[reason])
    others = f" (with {count - 1} more)" if count > 1 else ""
    is_frozen = reason == list(REASONS)[-1]
    is_starved = trained is not None and trained <= CONSTANT.value * outputs
    evidence = [Evidence(f"share of the values that {why.split(',')[0]}", part) for why, part in shares.items()]
    left = ""
    if trained is not None:
        left = f"; {trained:,} of {total:,} train"
        evidence.append(Evidence("values that train", trained, outputs * CONSTANT.value if outputs else None))
    if is_starved:
        left += f", as many as a constant has for {outputs} output{'s' if outputs > 1 else ''}, or fewer"
    large = share >= LARGE.value and not is_frozen
    return Finding(
        ERROR if is_starved or large else NOTE if share < SHARE.value else WARNING,
        f"{name!r}{others} {reason}: {share:.0%} of the model's values do not learn{left}",
        tuple(evidence),
        tuple(Remedy(REASONS[why]) for why in sorted(told, key=lambda why: -shares[why])),
        where=name,
        strength=1 + share,
        # A few biases move far for their norm, and the loss with them next to nowhere.
        explains=("PF201", "PF202") if is_starved else (),
    )


RULE = Rule(
    code="PF104",
    name="idle-parameters",
    title="Parameters are not trained",
    detects="A parameter is not registered with the model or not in the optimizer, never gets a gradient, does not "
    "change although it has one, or is frozen at values that were drawn at random; what is left to "
    "train may then be no more than a constant output has (CONSTANT). Of a directory that tells of components only: "
    "one whose every recorded change is zero.",
    matters="That part of the model stays as it was initialised, while everything seems to run.",
    fix="Register layers in nn.ModuleList, give all parameters to the optimizer, keep the way from loss to parameter "
    "free of detach() and no_grad(), and freeze only what was loaded: a part that is frozen at loaded weights is no "
    "fault.",
    check=check,
    thresholds=(SHARE, LARGE, CONSTANT, GRADIENT),
    causes=("PF401", "PF402"),
)
