"""Do the short trials order settings as the longer, confirming runs do?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations

from preflight.advise.evidence import effect

Scores = Mapping[int, float]


@dataclass(frozen=True)
class Agreement:
    """Pairs of settings that were run at both lengths: all, those that the confirming seeds tell apart beyond their
    noise, and those of the latter whose order was the other one in the short trials.
    """

    pairs: int
    told_apart: int
    reversed: int


def agreement(explored: Mapping[Hashable, float], confirmed: Mapping[Hashable, Scores]) -> Agreement:
    """Orders by one short run each, and by scores by seed of longer ones; lower is better.

    A pair that is equal in the short trials, such as two that were lost, has no order there to be reversed.
    """
    both = [key for key in explored if key in confirmed]
    pairs = list(combinations(both, 2))
    told, turned = 0, 0
    for one, other in pairs:
        found = effect(confirmed[one], confirmed[other], len(pairs))
        if not found.is_better and not found.is_worse:
            continue
        told += 1
        was_better = explored[other] < explored[one]
        turned += explored[other] != explored[one] and was_better != (found.gain > 0)
    return Agreement(len(pairs), told, turned)
