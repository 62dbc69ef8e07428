"""Samples that cannot be read: tolerated while they are few, and remembered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from preflight.core.errors import TaskError

FLOOR = 5
"""So many are tolerated however few were asked: what is met first says little of the others."""
SHARE = 0.05
"""And so much of those asked: where a neighbour takes the place of 5%, what a batch says counts as 1 / (1 + 2 * 5%) =
91% of its samples (Kish 1965), which is below what the seeds of a trial differ by. Beyond, it is other data."""
MAX_NAMED = 100


@dataclass
class Unreadable:
    """Samples of a split that were asked, by number, and the errors of those that could not be read."""

    where: str = "train"
    errors: dict[int, str] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)

    def add(self, number: int, error: Exception) -> None:
        """Remember one; raises :class:`TaskError` where there are too many."""
        self.errors[number] = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        if len(self.errors) > FLOOR + SHARE * len(self.asked):
            raise self.failure() from error

    def failure(self) -> TaskError:
        """What is said where samples are too many to do without."""
        first = next(iter(self.errors))
        return TaskError(
            f"a sample of the {self.where} data cannot be read: {self.errors[first]}; it is sample {first}, and "
            f"{len(self.errors)} of the {len(self.asked)} samples asked fail"
        )

    def as_dict(self, samples: int) -> dict[str, Any]:
        """``{samples, fetched, count, unreadable: [{sample, error}]}``: of so many samples, those asked, and those
        that failed, the first of them by name.
        """
        named = [{"sample": number, "error": self.errors[number]} for number in sorted(self.errors)[:MAX_NAMED]]
        return {"samples": samples, "fetched": len(self.asked), "count": len(self.errors), "unreadable": named}
