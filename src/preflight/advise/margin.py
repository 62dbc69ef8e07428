"""How far the recommended learning rate is from where training fails, and how flat the score is around it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from preflight.advise.evidence import MIN_GAIN, Effect, effect
from preflight.advise.ladder import BEST, EXPLODES, STABLE, TOO_HIGH, UNSTEADY, Rung
from preflight.advise.recommendation import Near
from preflight.advise.refine import WALL

FAILED, TRAINED = (EXPLODES, TOO_HIGH), (STABLE, UNSTEADY, BEST)
# Times: nearer to a rate that fails than this is too near to be safe from a change of batch size, seed or data.
CLOSE = 2.0
# A score that is higher by this share of the best one is still in the flat part.
FLAT = 0.05


@dataclass(frozen=True)
class Reach:
    """What a ladder of constant learning rates says of a rate.

    ``fails_at`` is the lowest rate above the best one at which runs explode or are too high, ``how`` its verdict;
    ``trains_at`` is the highest one below it that trained. Each is None where there is none.
    """

    lr: float
    fails_at: float | None
    how: str
    trains_at: float | None
    highest: float
    seeds: int

    @property
    def factor(self) -> float:
        """Times from the rate to the one that fails; below 1 where it lies beyond; infinite where none fails."""
        return math.inf if self.fails_at is None else self.fails_at / self.lr


@dataclass(frozen=True)
class Beside:
    """A learning rate beside the best one around: ``cost`` is the share that it adds to the typical score.

    ``effect`` is that of going from the best one to it on the same seeds; None where these were not kept.
    """

    lr: float
    cost: float
    effect: Effect | None
    is_lost: bool

    @property
    def is_sure(self) -> bool:
        """A cost beyond the noise of the seeds, and worth speaking of."""
        return self.effect is not None and self.effect.is_worse and self.cost >= MIN_GAIN

    @property
    def is_wall(self) -> bool:
        """Whether it scores so much worse, or lost a run."""
        return self.is_lost or self.cost >= math.exp(WALL) - 1


@dataclass(frozen=True)
class Valley:
    """Neighbouring rates ``low`` to ``high`` whose typical score is within :data:`FLAT` of the best one.

    ``below`` and ``above`` are the nearest rates outside; None where none was tried, so that it may be wider.
    """

    rates: tuple[Beside, ...]
    best: float
    low: float
    high: float
    below: Beside | None
    above: Beside | None


def reach(lr: float, rungs: Sequence[Rung]) -> Reach | None:
    """How far ``lr`` is from failing; None without a rung."""
    if not rungs:
        return None
    ordered = sorted(rungs, key=lambda rung: rung.lr)
    best = max((rung.lr for rung in ordered if rung.verdict == BEST), default=0.0)
    failed = next((rung for rung in ordered if rung.verdict in FAILED and rung.lr > best), None)
    trained = [rung.lr for rung in ordered if rung.verdict in TRAINED and (failed is None or rung.lr < failed.lr)]
    seeds = max(rung.seeds for rung in ordered)
    highest = ordered[-1].lr
    if failed is None:
        return Reach(lr, None, "", max(trained, default=None), highest, seeds)
    return Reach(lr, failed.lr, failed.verdict, max(trained, default=None), highest, seeds)


def valley(around: Sequence[Near]) -> Valley | None:
    """How flat the score is; None for fewer than two rates, or where no score is finite."""
    ordered = sorted(around, key=lambda near: near.lr)
    if len(ordered) < 2 or not any(math.isfinite(near.score) for near in ordered):
        return None
    best = min(range(len(ordered)), key=lambda index: ordered[index].score)
    rates = tuple(_beside(near, ordered[best]) for near in ordered)
    low = high = best
    while low > 0 and _is_flat(rates[low - 1]):
        low -= 1
    while high < len(rates) - 1 and _is_flat(rates[high + 1]):
        high += 1
    below = rates[low - 1] if low else None
    above = rates[high + 1] if high < len(rates) - 1 else None
    return Valley(rates, rates[best].lr, rates[low].lr, rates[high].lr, below, above)


def close_walls(lr: float, found: Reach | None, around: Valley | None) -> Iterator[tuple[float, str]]:
    """Rates nearer than :data:`CLOSE` at which training fails or scores far worse, and what happens there."""
    if found is not None and found.fails_at is not None and found.factor < CLOSE:
        yield found.fails_at, found.how
    for rate in () if around is None else around.rates:
        # Rates are rounded to two digits, so that what stands beside the chosen one is never exactly a step away.
        if rate.is_wall and 1 / CLOSE < rate.lr / lr < CLOSE:
            yield rate.lr, "lost" if rate.is_lost else "worse"


def _is_flat(rate: Beside) -> bool:
    return rate.cost <= FLAT and not rate.is_lost


def _beside(near: Near, best: Near) -> Beside:
    found = effect(best.scores, near.scores) if near is not best and near.scores and best.scores else None
    is_lost = not math.isfinite(near.worst)
    if near is best:
        return Beside(near.lr, 0.0, None, is_lost)
    if best.score > 0:
        return Beside(near.lr, near.score / best.score - 1, found, is_lost)
    return Beside(near.lr, math.nan if found is None else -found.gain, found, is_lost)
