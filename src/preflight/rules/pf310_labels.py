"""PF310: targets that do not belong to their inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from preflight.core.errors import MissingError
from preflight.core.finding import ERROR, NOTE, Answer, Clean, Evidence, Finding, Remedy
from preflight.rules.base import Rule, Threshold
from preflight.rules.levels import all_stuck, is_trivial, known, last_quarter, level_of, loss_facts, training_constant
from preflight.telemetry.recording import Recording

CHANCE = Threshold("CHANCE", 2.5, "deviations: agreement below is no better than by chance", "one in 160 by chance")
CERTAIN = Threshold("CERTAIN", 10.0, "deviations: agreement beyond is certain", "so far from chance that it is none")
SAMPLES = Threshold(
    "SAMPLES", 300.0, "samples at least for a hint without proof", "fewer hide a weak relation; a strong one they show"
)
UNLEARNED = Threshold("UNLEARNED", 0.98, "validation score, 1 being the best constant", "below, a run has learned")
LUCK = Threshold(
    "LUCK",
    0.7,
    "validation score: above, it may be luck where the labels are proven to be mixed up",
    "of 24 runs on mixed labels of a smooth curve the luckiest came to 0.81",
)
FAR = Threshold(
    "FAR",
    0.2,
    "of the agreement that the validation data lead to expect: less is as good as none, where that is certain",
    "of labels of which half are exchanged 0.23 to 0.25 is left, of seven in ten 0.07 to 0.11; of 80 random orders the "
    "luckiest agreed by 2.7 deviations",
)
MIN_STEPS = 100


def check(recording: Recording) -> Answer:
    """Accuse on proof: other rows fit, or validation data does. Without it, a run that learned nothing is a hint."""
    for name, fact in (recording.facts.get("losses") or {}).items():
        if fact.get("all_pairs"):
            return _all_pairs(name, fact)
    for name, item in (recording.facts.get("pairs") or {}).items():
        if "z" in item and item["z"] < CHANCE.value and _would_agree(item) > CERTAIN.value:
            return _parted(name, item)
    labels = _measured(recording)
    random = {
        name: item
        for name, item in labels.items()
        if _is_random(item) and not _has_learned(recording, name, LUCK.value)
    }
    if not random:
        return Clean()
    for name, item in random.items():
        if item.get("offset_z", 0.0) > CERTAIN.value:
            return _moved(name, item)
        if _would_agree(item) > CERTAIN.value:
            return _mixed(name, item)
    random = {name: item for name, item in random.items() if not _has_learned(recording, name, UNLEARNED.value)}
    if not random:
        return Clean()
    if any(item["samples"] < SAMPLES.value for item in random.values()):
        raise MissingError(f"fewer than {SAMPLES.value:g} samples do not tell whether labels belong to inputs")
    if len(random) == len(labels) and _has_only_failed(recording):
        return _hint(next(iter(random)), next(iter(random.values())))
    raise MissingError("simple predictors find no relation of inputs and targets: it is hard, or there is none")


def _measured(recording: Recording) -> dict[str, Mapping[str, Any]]:
    """What is known of each target that varies, where there were samples enough to look at."""
    found = recording.fact("labels")
    labels = {str(name): item for name, item in found.items() if "z" in item}
    if labels:
        return labels
    for name, item in found.items():
        if item.get("constant"):
            raise MissingError(f"the target '{name}' is the same in every sample: there is nothing to predict")
    raise MissingError("too few samples to tell whether labels belong to inputs")


def _is_random(item: Mapping[str, Any]) -> bool:
    """Whether the training targets agree with their inputs by chance only, or hardly beside the validation data's."""
    expected = _would_agree(item)
    return bool(item["z"] < CHANCE.value or CERTAIN.value < expected > item["z"] / FAR.value)


def _would_agree(item: Mapping[str, Any]) -> float:
    """Deviations from chance that so many training samples would show, had they the relation of the validation data.

    Agreement grows with the root of the number of samples; that of more samples than there are is not counted on.
    """
    if "validation_z" not in item:
        return 0.0
    return float(item["validation_z"]) * min(1.0, math.sqrt(item["samples"] / item["validation_samples"]))


def _has_learned(recording: Recording, target: str, limit: float) -> bool:
    """Whether new data is predicted, and by what training taught: similar inputs have similar embeddings before it."""
    own = _of_target(recording, target)
    if own:
        return any(value < limit for value in own) and _fits_training(recording, target)
    if recording.info.get("score") is None or recording.score >= limit:
        return False
    try:
        return not all_stuck(recording)
    except MissingError:
        return True


def _of_target(recording: Recording, target: str) -> list[float]:
    """Last validation value over the best constant's, of the losses of one target among several."""
    try:
        losses = loss_facts(recording)
        if len({fact.get("target") for fact in losses.values()}) < 2:
            return []
        own = {name: fact for name, fact in losses.items() if fact.get("target") == target and not is_trivial(fact)}
        columns = {name: known(recording.column("losses", f"val_{name}")) for name in own}
    except MissingError:
        return []
    return [float(values[-1]) / float(own[name]["constant"]) for name, values in columns.items() if len(values)]


def _fits_training(recording: Recording, target: str) -> bool:
    """Whether a loss of the target was learned in training: another target may teach what validation shows."""
    own = {name: fact for name, fact in loss_facts(recording).items() if fact.get("target") == target}
    return any(
        level_of(last_quarter(recording.column("losses", name))).mean < UNLEARNED.value * training_constant(fact)
        for name, fact in own.items()
        if not is_trivial(fact)
    )


def _has_only_failed(recording: Recording) -> bool:
    """Whether a run of some length is recorded whose score on new data is no better than a constant's."""
    if recording.info.get("score") is None or recording.info.get("outcome", {}).get("status") != "completed":
        return False
    return len(recording.column("losses", "total")) >= MIN_STEPS


def _moved(name: str, item: Mapping[str, Any]) -> Finding:
    offset = int(item["offset"])
    return Finding(
        ERROR,
        f"the target '{name}' is {abs(offset)} row{'s' if abs(offset) > 1 else ''} off: nearest neighbours agree with "
        f"the targets {'after' if offset > 0 else 'before'} them and not with their own",
        (
            Evidence("agreement with its own targets, deviations from chance", item["z"], CHANCE.value),
            Evidence(f"agreement with targets {offset:+d} rows away", item["offset_z"], CERTAIN.value),
        ),
        (Remedy(f"move the targets by {-offset:+d} rows against the inputs, or join both by a key"),),
        where=name,
        strength=2.0,
    )


def _mixed(name: str, item: Mapping[str, Any]) -> Finding:
    return Finding(
        ERROR,
        f"the training targets '{name}' do not belong to their inputs: similar inputs have no more similar targets "
        "than by chance, while in the validation data they do",
        _both_agreements(item),
        (Remedy("shuffle inputs and targets by one permutation, and join them by a key"),),
        where=name,
        strength=2.0,
    )


def _both_agreements(item: Mapping[str, Any]) -> tuple[Evidence, ...]:
    return (
        Evidence("agreement in the training data, deviations from chance", item["z"], CHANCE.value),
        Evidence("agreement in the validation data", item["validation_z"], CERTAIN.value),
    )


def _all_pairs(name: str, fact: Mapping[str, Any]) -> Finding:
    return Finding(
        ERROR,
        f"the loss '{name}' compares every output with the targets of all samples of the batch: outputs of the shape "
        f"[{', '.join(('B', *map(str, fact['output_shape'])))}] and targets of another one are broadcast",
        (Evidence("outputs may be exchanged within a batch", "nothing changes"),),
        (Remedy("give both the same shape: output.squeeze(1), or target.unsqueeze(1)"),),
        where=name,
        strength=3.0,
    )


def _parted(name: str, item: Mapping[str, Any]) -> Finding:
    return Finding(
        ERROR,
        f"the training inputs '{item['beside']}' and '{name}' do not belong together: '{item['beside']}' predicts "
        f"'{name}' no better than by chance, while in the validation data it does",
        _both_agreements(item),
        (Remedy("shuffle all inputs by one permutation, and join them by a key"),),
        where=name,
        strength=2.0,
    )


def _hint(name: str, item: Mapping[str, Any]) -> Finding:
    return Finding(
        NOTE,
        f"the target '{name}' may not belong to its inputs: neither nearest neighbours nor a linear model predict it "
        "better than by chance, and the recorded run learned nothing that holds on new data",
        (Evidence("agreement, deviations from chance", item["z"], CHANCE.value),),
        (Remedy("look at a few samples with their targets; a relation that is only hard shows no such thing either"),),
        where=name,
    )


RULE = Rule(
    code="PF310",
    name="labels-mismatch",
    title="Targets do not belong to their inputs",
    detects="Nearest neighbours and a ridge regression predict the training targets no better than exchanged ones, or "
    "less than FAR as well as the validation data lead to expect. It "
    "is an error only with proof: targets some rows away fit, or those of the validation data do, however few. "
    "Without proof it is a hint, given only where a whole run learned nothing either. Inputs of one sample are held "
    "against each other in the same way. A loss that broadcasts outputs and targets of different shapes to all "
    "pairs of samples, so that outputs may change places within the batch, is an error as well. Labels that are no "
    "class of the model's output are refused before anything else, where the loss fails with them and not without.",
    matters="A network then learns samples by heart: the training loss falls and no new sample is ever right.",
    fix="Join inputs and targets by a key, permute both by one permutation, and look at samples beside their targets.",
    check=check,
    thresholds=(CHANCE, CERTAIN, SAMPLES, UNLEARNED, LUCK, FAR),
    causes=("PF401", "PF402", "PF507"),
)
