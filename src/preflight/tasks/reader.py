"""Samples of a map-style data set by number: others in place of those that cannot be read, and kept where that pays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from torch.utils.data import Dataset

from preflight.tasks.kept import Kept
from preflight.tasks.memory import is_out_of_memory
from preflight.tasks.seeding import RandomState
from preflight.tasks.unreadable import Unreadable


class _Failed(Exception):  # noqa: N818  # never leaves this file
    """A sample that cannot be read, and is remembered as such."""


@dataclass(frozen=True)
class Reader:
    """Fetches samples. Which one takes the place of another follows from the data alone, and not from what was asked
    before, so that a trial is the same in every process.
    """

    samples: Dataset[Any]
    unreadable: Unreadable = field(default_factory=Unreadable)
    kept: Kept | None = None

    def __len__(self) -> int:
        return len(self.samples)  # type: ignore[arg-type]  # checked to be sized where it is given

    def fetch(self, numbers: Sequence[int]) -> list[Any]:
        """Samples ``[B]``, of some of them others; raises :class:`TaskError` where too many cannot be read."""
        before = RandomState.now()
        while True:
            known = len(self.unreadable.errors)
            found = self._sweep(numbers)
            is_open, has_failed = self.kept is not None and self.kept.is_open, len(self.unreadable.errors) > known
            if not (is_open or has_failed) or before.is_now():
                return found
            if self.kept is not None:
                self.kept.close()  # leaving out what a sample draws would change what others draw
            if not has_failed:
                return found
            before.put_back()  # one that failed may have drawn numbers, which it will not draw again

    def _sweep(self, numbers: Sequence[int]) -> list[Any]:
        taken = set(numbers)
        return [self._readable(number, taken) for number in numbers]

    def _readable(self, number: int, taken: set[int]) -> Any:
        """The sample, or the next one that can be read and is not ``taken`` by the batch."""
        while True:
            try:
                return self._sample(number)
            except _Failed:
                number = self._next(number, taken)
                taken.add(number)

    def _sample(self, number: int) -> Any:
        if number in self.unreadable.errors:
            raise _Failed
        self.unreadable.asked.add(number)
        return self._ask(number) if self.kept is None else self.kept.get(number, self._ask)

    def _ask(self, number: int) -> Any:
        try:
            return self.samples[number]
        except Exception as error:  # the user's, whatever it is
            if is_out_of_memory(error):
                raise
            self.unreadable.add(number, error)
            raise _Failed from error

    def _next(self, number: int, taken: set[int]) -> int:
        def others() -> Iterator[int]:
            around = chain(range(number + 1, len(self)), range(number))
            return (other for other in around if other not in self.unreadable.errors)

        # Of a batch of all samples, one comes twice.
        found = next((other for other in others() if other not in taken), None)
        found = next(others(), None) if found is None else found
        if found is None:
            raise self.unreadable.failure()
        return found
