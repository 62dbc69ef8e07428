"""Loss weights by several methods beside those of the search, on the same seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from preflight.advise.evidence import Effect, effect
from preflight.core.params import Params, ParamValue
from preflight.core.search_settings import BALANCINGS

SEARCHED, TODAY, EQUAL = "the search's", "today's", "equal gradients"
NAMES = dict(zip(BALANCINGS, ("GradNorm", "uncertainty weighting"), strict=True))


@dataclass(frozen=True)
class Weighed:
    """One way to weigh the losses: its weights, scores by seed, and the effect of going there from the base.

    Weights that ``follow`` the training are given as they settled, by their mean over the last half of the runs.
    """

    name: str
    weights: Mapping[str, float]
    follow: bool
    scores: Mapping[int, float]
    effect: Effect | None = None


@dataclass(frozen=True)
class Balanced:
    """What was compared beside the ``base`` settings, whose own weights come first.

    ``left_out`` says why nothing is proposed, ``lost`` are methods of which no run came to its end.
    """

    base: Mapping[str, ParamValue] = field(default_factory=dict)
    rows: tuple[Weighed, ...] = ()
    left_out: str = ""
    lost: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As loss_weights.json holds it."""
        return asdict(self)


def with_effects(rows: Sequence[Weighed]) -> tuple[Weighed, ...]:
    """Rows with the effect of each beside the first, widened for the number of them."""
    first, others = rows[0], rows[1:]
    return (
        first,
        *(
            Weighed(row.name, row.weights, row.follow, row.scores, effect(first.scores, row.scores, len(others)))
            for row in others
        ),
    )


def settings_of(weights: Mapping[str, float]) -> dict[str, ParamValue]:
    """Weights by loss as settings, with as many digits as matter."""
    return {f"loss_weights.{name}": float(f"{weight:.3g}") for name, weight in weights.items()}


def typical_weights(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Geometric mean over runs of weights that add up to the same."""
    sums = [math.fsum(run.values()) for run in runs]
    logs = {name: math.fsum(math.log(run[name]) for run in runs) / len(runs) for name in runs[0]}
    scale = (math.fsum(sums) / len(sums)) / math.fsum(math.exp(value) for value in logs.values())
    return {name: math.exp(value) * scale for name, value in logs.items()}


def better_weights(balanced: Balanced, base: Params) -> list[Params]:
    """Settings with fixed weights that do better than those of the base beyond the noise of the seeds."""
    found = [row for row in balanced.rows if not row.follow and row.effect is not None and row.effect.is_better]
    return [base.with_values(settings_of(row.weights)) for row in found]
