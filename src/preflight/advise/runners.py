"""The settings that came next: measured beside the recommended ones on the same seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from preflight.advise.choose import are_twins
from preflight.advise.evidence import Effect, effect
from preflight.core.params import Params

MAX_RUNNERS = 3

Scores = Mapping[int, float]


@dataclass(frozen=True)
class Runner:
    """Settings, and what going to them from the recommended ones does to the score."""

    params: Params
    effect: Effect

    @property
    def is_within_noise(self) -> bool:
        """Whether the seeds do not tell it from the recommended settings."""
        return self.effect.low <= 0 <= self.effect.high


def runners_up(
    measured: Sequence[tuple[Params, Scores]], recommended: Params, today: Params, rates_are_shown: bool = False
) -> tuple[Runner, ...]:
    """The next best of the ``measured`` settings, best first; empty where the recommended ones are not among them.

    Today's settings and twins of what is there already are left out, and where ``rates_are_shown`` what differs in
    nothing but the learning rate. Only seeds that both have count, of which there have to be two; the intervals are
    widened for the number of settings that are given.
    """
    own = next((scores for params, scores in measured if params.key() == recommended.key()), {})
    known = {recommended.key(), today.key()}
    others = [(params, scores) for params, scores in measured if params.key() not in known]
    paired = [(params, scores, effect(own, scores)) for params, scores in others]
    ranked = sorted((item for item in paired if item[2].seeds > 1), key=lambda item: -item[2].gain)
    kept: list[tuple[Params, Scores]] = []
    for params, scores, _ in ranked:
        is_shown = rates_are_shown and set(params.changes_from(recommended)) == {"lr"}
        if not is_shown and not any(are_twins(params, other) for other in (recommended, *(p for p, _ in kept))):
            kept.append((params, scores))
    taken = kept[:MAX_RUNNERS]
    return tuple(Runner(params, effect(own, scores, len(taken))) for params, scores in taken)
