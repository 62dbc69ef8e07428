"""What the probes say of the fields, as the rules of the data ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from preflight.core.errors import MissingError
from preflight.core.params import ParamValue
from preflight.rules.levels import is_trivial, loss_facts, training_constant
from preflight.rules.predicates import are_decreasing, has_run_away
from preflight.rules.progress import late_loss
from preflight.telemetry.recording import Recording

AMOUNTS = ("continuous", "heavy_tailed", "count", "image")
# Below so many steps a run that does not learn yet has proven nothing.
MIN_STEPS = 40
# Score from which a run has learned something: 1 is the best constant predictor.
LEARNED = 0.9
# A table of vectors with so many rows for every value that there is would be mostly empty.
MAX_ROWS = 10


@dataclass(frozen=True)
class Field:
    """An input or target: what :func:`preflight.probes.distributions.look_at_fields` says of it, and what of it reaches
    the first layer (:func:`preflight.probes.first_layer.look_at_first_layers`), which is empty where nobody knows.
    """

    name: str
    facts: Mapping[str, Any]
    reach: Mapping[str, Any]

    @property
    def features(self) -> list[Mapping[str, Any]]:
        """Its features; of a wide field one that stands for all."""
        return list(self.facts["features"])

    def kind(self, feature: Mapping[str, Any]) -> str:
        """Kind of a feature: whole numbers are tokens, but where the model takes their size for what counts."""
        if feature["kind"] == "tokens" and self.is_number(feature):
            return str(feature["values"])
        return str(feature["kind"])

    def is_number(self, feature: Mapping[str, Any]) -> bool:
        """Whether the model takes the feature for a number and not for an index."""
        return bool(self.reach.get("features", {}).get(feature["name"], {}).get("as_number", False))

    @property
    def amounts(self) -> list[Mapping[str, Any]]:
        """Features that have a scale: no flags, tokens, constants, and identifiers only where their size counts."""
        return [
            feature
            for feature in self.features
            if self.kind(feature) in AMOUNTS or (self.kind(feature) == "identifier" and self.is_number(feature))
        ]

    @property
    def attenuation(self) -> float:
        """What of the field's size reaches the first layer, 1 at most: a model that normalizes itself lets little."""
        largest, fed = self.reach.get("largest"), max(feature["fed"]["rms"] for feature in self.features)
        return 1.0 if largest is None or not fed else min(1.0, float(largest) / fed)

    def label(self, feature: Mapping[str, Any]) -> str:
        """How a feature is called in a sentence."""
        name = feature["name"]
        return f"'{name}'" if name == self.name else f"'{name}' of '{self.name}'"

    def where(self, feature: Mapping[str, Any]) -> str:
        """A feature's place."""
        return str(feature["name"]) if feature["name"] == self.name else f"{self.name}.{feature['name']}"

    @property
    def option(self) -> str:
        """The normalization that its statistics were taken with."""
        return str(self.facts.get("option") or "none")

    def remedy(self, wanted: str = "") -> dict[str, ParamValue]:
        """The setting that normalizes it: the wanted option, else the one for several kinds, else the first."""
        options = [option for option in self.facts["options"] if option != "none"]
        if not options or not self.facts.get("option"):
            return {}
        fitting = next((option for option in (wanted, "per_kind") if option in options), options[0])
        group = "normalization" if self.facts["role"] == "input" else "target_normalization"
        return {f"{group}.{self.name}": fitting}


def fields(recording: Recording, role: str) -> list[Field]:
    """Inputs or targets, but for targets that no loss and no metric uses.

    Those that the recorded run normalizes in another way than the probes saw are left out as well.
    """
    known = recording.fact("fields")
    reaches = recording.facts.get("first_layers") or {}
    named = [(facts.get("name", key), facts) for key, facts in known.items() if facts.get("role") == role]
    found = [Field(name, facts, reaches.get(name) or {}) for name, facts in named]
    if not found:
        raise MissingError(f"no probe has looked at an {role}")
    return [field for field in found if field.facts.get("enters", True) and _is_as_probed(recording, field)]


def features(recording: Recording, role: str) -> Iterator[tuple[Field, Mapping[str, Any]]]:
    """Every feature of the inputs or targets with its field."""
    for field in fields(recording, role):
        for feature in field.features:
            yield field, feature


def _is_as_probed(recording: Recording, field: Field) -> bool:
    try:
        group = "normalization" if field.facts["role"] == "input" else "target_normalization"
        return str(recording.setting(f"{group}.{field.name}")) == field.option
    except MissingError:
        return True


def is_in_trouble(recording: Recording) -> bool:
    """Whether the recorded run shows that it does not learn: diverged, run away, without a fall of the loss, or with
    one that leads nowhere near what a constant output gives.

    A run that was not recorded, that is short, or whose score is good shows nothing of the sort.
    """
    if recording.info.get("score") is not None and recording.score < LEARNED:
        return False
    if recording.info.get("outcome", {}).get("status") == "diverged":
        return True
    try:
        losses = recording.column("losses", "total")
    except MissingError:
        return False
    if len(losses) and not np.isfinite(losses).all():
        return True
    if has_run_away(losses):
        return True
    return len(losses) >= MIN_STEPS and (not are_decreasing([losses]) or _is_unlearned(recording))


def _is_unlearned(recording: Recording) -> bool:
    """Whether every training loss ends above LEARNED of its best constant predictor's, however it has fallen."""
    try:
        facts = {name: fact for name, fact in loss_facts(recording).items() if not is_trivial(fact)}
        levels = {name: late_loss(recording.column("losses", name)) for name in facts}
    except MissingError:
        return False
    return bool(facts) and all(levels[name] > LEARNED * training_constant(fact) > 0 for name, fact in facts.items())


def embedding(feature: Mapping[str, Any]) -> str:
    """How whole numbers that name something become vectors: by themselves, or numbered anew where they have gaps."""
    rows, values = feature["maximum"] + 1, feature["distinct"]
    if feature["minimum"] >= 0 and rows <= MAX_ROWS * values:
        return f"torch.nn.Embedding({rows:.0f}, dim) on its whole numbers"
    return (
        "number its values from 1, with 0 for any that the training data do not have, and torch.nn.Embedding(rows, "
        f"dim) on that; {values} different ones were seen"
    )


def several(texts: list[str], limit: int = 3) -> str:
    """The first few of a list, and how many more there are."""
    more = len(texts) - limit
    return ", ".join(texts[:limit]) + (f" and {more} more" if more > 0 else "")
