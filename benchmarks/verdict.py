"""What preflight says of a program, and how its training ended."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from preflight.core.finding import NOTE
from preflight.trials.outcome import WORST_SCORE


@dataclass(frozen=True)
class Said:
    """A finding, as a table needs it; ``causes`` are findings beside it that may have brought it about."""

    code: str
    severity: str
    message: str
    has_evidence: bool
    causes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repair:
    """A remedy's settings, trained: ``way`` is the share of the way from the faulty result to the healthy twin's."""

    code: str
    settings: Mapping[str, Any]
    score: float
    way: float


@dataclass(frozen=True)
class Verdict:
    """What preflight says of a program, and how its training ended.

    ``scores`` are final validation scores by seed, ``lowest`` the best of each on the way; 1 is the best constant
    predictor. ``stopped`` is why preflight refused to train it at all; a refusal that names a rule is a finding, too.
    """

    name: str
    family: str
    base: str
    split: str
    fault: str
    expected: tuple[str, ...]
    said: tuple[Said, ...]
    scores: tuple[float, ...] = ()
    lowest: tuple[float, ...] = ()
    twin: float | None = None
    repair: Repair | None = None
    stopped: str = ""
    broken: str = ""
    seconds: float = 0.0

    @property
    def alarms(self) -> tuple[Said, ...]:
        """Findings that are more than a note."""
        return tuple(item for item in self.said if item.severity != NOTE)

    @property
    def is_detected(self) -> bool:
        """Whether preflight says that something is wrong."""
        return bool(self.alarms or self.stopped)

    @property
    def is_named(self) -> bool:
        """Whether the first finding is the cause."""
        return bool(self.alarms) and self.alarms[0].code in self.expected

    @property
    def is_mentioned(self) -> bool:
        """Whether any finding is the cause."""
        return any(item.code in self.expected for item in self.alarms)

    @property
    def strays(self) -> tuple[str, ...]:
        """Codes of findings that neither are the cause nor come of it, directly or by others."""
        accounted = set(self.expected)
        for _ in self.alarms:
            accounted |= {item.code for item in self.alarms if accounted & set(item.causes)}
        return tuple(item.code for item in self.alarms if item.code not in accounted)

    @property
    def score(self) -> float:
        """Median over the seeds."""
        return statistics.median(self.scores) if self.scores else WORST_SCORE


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """As the results' JSON holds it."""
    return asdict(verdict) | {"detected": verdict.is_detected, "named": verdict.is_named}
