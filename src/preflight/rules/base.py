"""A rule: one fault, how it is seen, why it matters, how it is mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from preflight.core.errors import MissingError
from preflight.core.finding import Answer, NotApplicable
from preflight.telemetry.recording import Recording

FAMILIES = {
    "1": "gradients and updates",
    "2": "learning rate and schedule",
    "3": "data",
    "4": "losses and heads",
    "5": "metrics",
    "6": "hardware",
    "7": "representation",
}


def too_few(what: str, count: int, needed: float, unit: str = "rows") -> NotApplicable:
    """``losses.csv has 12 rows, 20 are needed``: too short to judge is not clean."""
    return NotApplicable(f"{what} has {count} {unit if count != 1 else unit.removesuffix('s')}, {needed:g} are needed")


@dataclass(frozen=True)
class Threshold:
    """A limit of a rule: what it bounds, and where the figure comes from (a paper, a definition, a measurement)."""

    name: str
    value: float
    meaning: str
    source: str


@dataclass(frozen=True)
class Rule:
    """One fault. ``check`` is a pure function; it may raise MissingError, which :meth:`judge` turns into an answer.

    ``causes`` are the codes of rules whose findings this fault brings about: where both are found, this one is the
    cause and comes first. ``causes_there`` are those that it brings about in its own place only, such as a feature.
    """

    code: str
    name: str
    title: str
    detects: str
    matters: str
    fix: str
    check: Callable[[Recording], Answer]
    thresholds: tuple[Threshold, ...] = ()
    causes: tuple[str, ...] = ()
    causes_there: tuple[str, ...] = ()

    def explains(self, symptom: str, is_same_place: bool) -> bool:
        """Whether this fault brings about what the rule of code ``symptom`` finds."""
        return symptom in self.causes or (is_same_place and symptom in self.causes_there)

    @property
    def family(self) -> str:
        """Family of faults, from the first digit of the code."""
        return FAMILIES[self.code[2]]

    def judge(self, recording: Recording) -> Answer:
        """The answer for one recording; what the recording lacks is said, never passed over."""
        try:
            return self.check(recording)
        except MissingError as error:
            return NotApplicable(str(error))
