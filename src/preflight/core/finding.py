"""What a rule answers: a fault with its evidence, nothing found, or nothing to judge by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from preflight.core.params import ParamValue

# By how much of the run is at stake: it cannot learn; it learns worse than it could; worth knowing.
ERROR: Final = "error"
WARNING: Final = "warning"
NOTE: Final = "note"
SEVERITIES: Final = (ERROR, WARNING, NOTE)

# What a paired run of the remedy says of it.
UNTESTED: Final = "untested"
UNDECIDED: Final = "undecided"
CONFIRMED: Final = "confirmed"
REFUTED: Final = "refuted"


@dataclass(frozen=True)
class Evidence:
    """A measured value beside the limit it was held against; both in ``unit``. ``limit`` None: nothing to hold to."""

    what: str
    value: float | str
    limit: float | str | None = None
    unit: str = ""


@dataclass(frozen=True)
class Remedy:
    """What to do, in words, and the settings that do it where there are some: these can be tried."""

    text: str
    settings: Mapping[str, ParamValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """A fault. ``message`` names it in one sentence with its numbers; ``where`` is its place: a parameter, a field,
    a feature, a loss; ``step`` the optimizer step at which it began. ``strength`` (1 and up) says how far beyond the
    limit it lies, to rank findings of one severity. ``explains`` are codes of findings that this one brings
    about, besides those that its rule always does.
    """

    severity: str
    message: str
    evidence: tuple[Evidence, ...]
    remedies: tuple[Remedy, ...] = ()
    where: str = ""
    step: int | None = None
    strength: float = 1.0
    explains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clean:
    """The rule had what it needs and found nothing."""


@dataclass(frozen=True)
class NotApplicable:
    """The rule cannot judge; ``missing`` says what it lacks. Never the same as clean."""

    missing: str


Answer: TypeAlias = Finding | Clean | NotApplicable
