"""Fetched samples that are kept, so that one that is slow to fetch is fetched once and not in every trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from statistics import median
from typing import Any

from preflight.tasks.plain import copied, is_same, size_bytes

PROOFS = 64
"""So many samples, or all there are, must have come twice and the same before any is given from memory: what changes a
sample in ten by a random generator of its own, p**2 + (1 - p)**2 = 0.82 alike, passes that once in 300,000 times."""
COST_S = 1e-4
"""A fetch of less is as fast as a look-up with its copy, within a factor of ten, and nothing is kept."""
FIRST = 16
"""Fetches after which their cost is known."""


class Room:
    """Memory for samples, in bytes, that all splits of a task share."""

    def __init__(self, size_bytes: int) -> None:
        self.left_bytes = size_bytes

    def take(self, size_bytes: int) -> bool:
        """Take some, if there is as much."""
        is_there = size_bytes <= self.left_bytes
        self.left_bytes -= size_bytes if is_there else 0
        return is_there


class Kept:
    """Samples of a split by number, before they are collated. None is kept where they turn out to differ from fetch to
    fetch, to be made of more than plain values, or to cost nothing; beyond the room they are fetched every time.
    ``failed`` are those that cannot be read.
    """

    def __init__(self, room: Room, size: int, failed: Collection[int] = ()) -> None:
        self._room, self._size, self._failed = room, size, failed
        self._is_full = False
        self._samples: dict[int, Any] = {}
        self._proven: set[int] = set()
        self._costs_s: list[float] = []
        self._last: tuple[int, Any] | None = None
        self.is_open = True
        self.spared_s = 0.0
        """Seconds that fetching would have taken besides."""

    @property
    def is_trusted(self) -> bool:
        """Whether samples are given from memory."""
        possible = len(self._samples) if self._is_full else self._size - len(self._failed)
        return self.is_open and len(self._proven) >= min(PROOFS, possible)

    def get(self, number: int, fetch: Callable[[int], Any]) -> Any:
        """The sample, from memory or by ``fetch``."""
        if not self.is_open:
            return fetch(number)
        if self.is_trusted and number in self._samples:
            self.spared_s += self._typical_s()
            return copied(self._samples[number])  # a collate function may change what it is given
        begin = time.perf_counter()
        sample = fetch(number)
        cost_s = time.perf_counter() - begin
        if len(self._costs_s) < FIRST:
            self._costs_s.append(cost_s)
            if len(self._costs_s) == FIRST and self._typical_s() < COST_S:
                self.close()
        if self.is_open:
            self._learn(number, sample)
        return sample

    def close(self) -> None:
        """Keep nothing, from now on."""
        self._room.left_bytes += sum(map(size_bytes, self._samples.values()))
        self._samples, self._last, self.is_open = {}, None, False

    def _learn(self, number: int, sample: Any) -> None:
        if not self._last_is_unchanged():
            self.close()
        elif number in self._samples:
            self._prove(number, sample)
        else:
            self._keep(number, sample)

    def _prove(self, number: int, sample: Any) -> None:
        if is_same(self._samples[number], sample):
            self._proven.add(number)
        else:
            self.close()

    def _keep(self, number: int, sample: Any) -> None:
        try:
            copy = copied(sample)
        except TypeError:
            self.close()
            return
        self._is_full = self._is_full or not self._room.take(size_bytes(copy))
        if not self._is_full:
            self._samples[number] = copy
            self._last = (number, sample) if not self.is_trusted else None

    def _last_is_unchanged(self) -> bool:
        """A data set that gives the same buffer every time changes the samples that it gave before."""
        return self._last is None or is_same(self._samples[self._last[0]], self._last[1])

    def _typical_s(self) -> float:
        return median(self._costs_s)
