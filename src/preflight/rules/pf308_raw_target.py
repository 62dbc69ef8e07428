"""PF308: regression targets in raw units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, WARNING, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.fields import Field, fields, is_in_trouble, several
from preflight.rules.levels import is_trivial, loss_facts, training_constant
from preflight.rules.predicates import Array
from preflight.rules.start import is_from_checkpoint
from preflight.telemetry.recording import Recording

RAW = Threshold(
    "RAW",
    100.0,
    "mean or deviation of a target, at a loss of that size or more",
    "an output layer moves by about its learning rate times its width a step: 1e-3 times 64, thousands of steps to 100",
)
MODERATE = Threshold("MODERATE", 10.0, "the same, where the recorded run is slow to learn", "a tenth of RAW")
REACH = Threshold(
    "REACH",
    0.15,
    "of the run goes by before the loss is below the best constant predictor's",
    "healthy regressions are below it within 0.09 of theirs",
)
TINY = Threshold(
    "TINY", 1e-3, "largest size of a target, below which a squared loss vanishes", "its square is the usual epsilon"
)
WINDOW = 10  # steps whose median counts as the level of a loss
# A model whose output starts at such a share of the target's size brings the scale itself.
SCALED_SHARE = 0.1


def check(recording: Recording) -> Answer:
    """Judge every target of amounts by its size, by the first loss, and by where the outputs start."""
    way = reached(recording) or 0.0
    trouble = is_in_trouble(recording) or way > REACH.value
    limit = MODERATE.value if trouble else RAW.value
    amounts = [item for item in fields(recording, "target") if "classes" not in item.facts and _varies(item)]
    raw = [item for field in amounts if (item := _judge(recording, field, limit)) is not None]
    if not raw:
        return Clean()
    raw.sort(key=lambda item: -item.ratio)
    return _found(raw, way if raw[0].limit == limit else 0.0, is_from_checkpoint(recording))


@dataclass(frozen=True)
class _Raw:
    """A target in raw units, its worst feature, and how far from the limit that is."""

    field: Field
    worst: Mapping[str, Any]
    limit: float

    @property
    def size(self) -> float:
        return _size(self.worst)

    @property
    def ratio(self) -> float:
        return max(self.size / self.limit, self.limit / max(self.size, 1e-300) if self.limit == TINY.value else 1.0)


def _judge(recording: Recording, field: Field, limit: float) -> _Raw | None:
    worst = max(field.features, key=_size)
    if _size(worst) >= limit and _loss(recording) >= limit and not _is_scaled(recording, worst, limit):
        return _Raw(field, worst, limit)
    if max(abs(worst["minimum"]), abs(worst["maximum"])) <= TINY.value and not _is_scaled(recording, worst, 0.0):
        return _Raw(field, worst, TINY.value)
    return None


def reach(losses: Array, constant: float) -> float:
    """Share of ``losses[T]`` before a median of WINDOW of them is below ``constant``; 1 where none is."""
    if len(losses) < WINDOW:
        return 0.0
    levels = np.median(np.lib.stride_tricks.sliding_window_view(losses, WINDOW), axis=1)
    below = np.flatnonzero(levels < constant)
    return float(below[0]) / len(losses) if len(below) else 1.0


def reached(recording: Recording) -> float | None:
    """The longest such share over the losses that fit a target of amounts; None where it is not known."""
    try:
        facts = {name: fact for name, fact in loss_facts(recording).items() if not is_trivial(fact)}
        shares = [
            reach(recording.column("losses", name), training_constant(fact))
            for name, fact in facts.items()
            if fact.get("kind") == "fit"
        ]
    except MissingError:
        return None
    return max(shares, default=None)


def _varies(field: Field) -> bool:
    return any(feature["std"] > 0 for feature in field.features)


def _size(feature: Mapping[str, Any]) -> float:
    return float(max(abs(feature["mean"]), feature["std"]))


def _loss(recording: Recording) -> float:
    """Largest loss before training: by the probe, else at the first step."""
    losses = recording.facts.get("losses") or {}
    known = [float(item["initial"]) for item in losses.values() if item.get("initial") is not None]
    if known:
        return max(known)
    names = [name for name in recording.names("losses") if name not in ("total", "score", "metric")]
    first = [recording.column("losses", name)[:1] for name in names if not name.startswith("val_")]
    if not any(len(item) for item in first):
        raise MissingError("no loss is known from before the training")
    return max(float(item[0]) for item in first if len(item))


def _is_scaled(recording: Recording, feature: Mapping[str, Any], limit: float) -> bool:
    """Whether the model's output starts at the scale of the target: it undoes a normalization itself."""
    losses = recording.facts.get("losses") or {}
    for item in losses.values():
        mean, std = item.get("output_mean"), item.get("output_std")
        if mean is None or std is None:
            continue
        is_near = abs(mean - feature["mean"]) <= 3 * feature["std"]
        if limit and is_near and max(abs(mean), std) >= SCALED_SHARE * _size(feature):
            return True
        if not limit and max(abs(mean), std) <= TINY.value:
            return True
    return False


def _found(raw: Sequence[_Raw], way: float, is_trained: bool) -> Finding:
    """What is said of the targets in raw units, the farthest first."""
    first, others = raw[0], [f"'{item.field.name}'" for item in raw[1:]]
    mean, std = first.worst["mean"], first.worst["std"]
    settings = {name: option for item in reversed(raw) for name, option in item.field.remedy("standardize").items()}
    return Finding(
        ERROR if first.ratio >= 10 else WARNING,
        f"the target {first.field.label(first.worst)} is in raw units: its mean is {mean:.3g} and its deviation "
        f"{std:.3g}, where "
        + ("outputs of the checkpoint are still far from that" if is_trained else "outputs start at about 0 and 1")
        + (f"; so is {several(others)}" if others else ""),
        (
            Evidence("mean or deviation of the target", first.size, first.limit),
            Evidence("largest value", first.worst["maximum"]),
            *(Evidence(f"mean or deviation of '{item.field.name}'", item.size, item.limit) for item in raw[1:]),
            *([Evidence("share of the run above the best constant's loss", way, REACH.value)] if way else []),
        ),
        (Remedy(_in_deviations(raw), settings),),
        where=first.field.where(first.worst),
        strength=1 + math.log10(max(1.0, first.ratio)),
    )


def _in_deviations(raw: Sequence[_Raw]) -> str:
    how = several([_deviations(item.field, item.worst) for item in raw])
    return f"train on {how}, statistics of the training data, and undo it before metrics are computed"


def _deviations(field: Field, feature: Mapping[str, Any]) -> str:
    if field.facts["width"] > 1:  # a scale for each would change what the loss asks of each
        return f"{field.name} less the mean of each feature, over one scale for all of them"
    return f"({field.name} - {feature['mean']:.4g}) / {feature['std']:.4g}"


RULE = Rule(
    code="PF308",
    name="raw-target",
    title="A regression target is in raw units",
    detects="The mean or the deviation of a target of amounts is far from 1, the loss before training is as large (a "
    "loss that has no scale, such as an angle, is none), and the model's outputs do not start at the target's scale. "
    "Sizes in between count only where the recorded run does not learn, or spends more than REACH of its steps above "
    "the loss of the best constant.",
    matters="Squared errors of 1e6 explode under SGD and hide every other loss; under Adam the output needs thousands "
    "of steps only to reach the mean, and clipping acts on every step.",
    fix="Standardize the target with the training data's mean and deviation, keep both with the model, and undo it "
    "before metrics are computed; for amounts over decades train on the logarithm.",
    check=check,
    thresholds=(RAW, MODERATE, REACH, TINY),
    causes=("PF101", "PF105", "PF108", "PF201", "PF205", "PF401", "PF402", "PF403", "PF405"),
)
