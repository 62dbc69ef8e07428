"""Which of the searched settings the score of the explored trials hung on, and how surely that can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# In so many of the resampled searches a setting has to explain more than random numbers do.
SURE = 0.95


@dataclass(frozen=True)
class Share:
    """Part of the spread of the scores that one setting explains: median, and 95% of resampled searches.

    ``beats_chance`` is the part of these in which it explained more than a column of random numbers.
    """

    name: str
    share: float
    low: float
    high: float
    beats_chance: float

    @property
    def is_clear(self) -> bool:
        """Whether the setting mattered beyond chance."""
        return self.beats_chance >= SURE


@dataclass(frozen=True)
class Importance:
    """Shares by falling size over so many ``trials``, of which ``lost`` ended without a score and count as the worst.

    ``why_not`` says why nothing could be computed; there are no shares then.
    """

    trials: int
    lost: int = 0
    shares: tuple[Share, ...] = ()
    why_not: str = ""

    @property
    def clear(self) -> tuple[Share, ...]:
        """Settings that mattered beyond chance."""
        return tuple(share for share in self.shares if share.is_clear)

    def as_dict(self) -> dict[str, Any]:
        """As importance.json holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Importance:
        """Inverse of :meth:`as_dict`."""
        return cls(**{**values, "shares": tuple(Share(**item) for item in values["shares"])})
