"""Which settings to confirm, which changes earn their place, and what may be claimed in the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.special import stdtrit

from preflight.advise.evidence import CONFIDENCE, MIN_GAIN, Effect, effect
from preflight.advise.recommendation import Change, Measured
from preflight.core.params import Params, ParamValue

Scores = Mapping[int, float]
Measure = Callable[[Sequence[Params], int], list[Scores]]
"""Scores by seed of several settings over so many rounds of seeds; trains what was not trained yet."""

# An answer that one round of seeds leaves open gets up to so many.
MAX_ROUNDS = 3
# A network that died and predicts a constant can halve the score of a bad start, and is no fix.
CONSTANT_PREDICTOR = 1.0
# Times: learning rates or weights that are nearer than a quarter of a decade do the same.
TWINS = 10**0.25
# Two weights are as quickly asked for one by one.
SEVERAL = 3


def leaders(explored: Sequence[tuple[Params, float]], today: Params, count: int) -> list[Params]:
    """The ``count`` best explored settings that differ from today's and are no twins; lower scores are better."""
    found: list[Params] = []
    for params, score in sorted(explored, key=lambda item: item[1]):
        if math.isfinite(score) and params.key() != today.key() and not any(are_twins(params, item) for item in found):
            found.append(params)
    return found[:count]


def are_twins(one: Params, other: Params) -> bool:
    """Whether two settings differ in numbers only, by so little that no seeds would tell them apart."""
    apart = one.changes_from(other)
    return all(_are_near(value, other.flat().get(name)) for name, value in apart.items())


def _are_near(one: ParamValue, other: ParamValue) -> bool:
    numbers = [value for value in (one, other) if isinstance(value, float) and value > 0]
    return len(numbers) == 2 and max(numbers) <= TWINS * min(numbers)


def compare(before: Params, after: Params, measure: Measure, comparisons: int = 1) -> Effect:
    """Effect of going from one to the other, over more rounds of seeds for as long as it is undecided."""
    for rounds in range(1, MAX_ROUNDS + 1):
        scores_before, scores_after = measure([before, after], rounds)
        found = effect(scores_before, scores_after, comparisons)
        if not found.is_undecided:
            break
    return found


def best_candidate(today: Params, candidates: Sequence[Params], measure: Measure) -> tuple[Params, Effect]:
    """The candidate whose gain is surest, its interval widened for the number that was looked at.

    Surest is the highest lower bound: the largest mean may be one lucky seed.
    """
    before, *after = measure([today, *candidates], 1)
    sure = [(found.low, found.gain) for found in (effect(before, scores) for scores in after)]
    best = candidates[max(range(len(sure)), key=sure.__getitem__)]
    return best, compare(today, best, measure, len(candidates))


def minimal(today: Params, best: Params, measure: Measure) -> tuple[Params, dict[str, Effect]]:
    """Leave out the changes that earn nothing; what each remaining one adds to all the others.

    A change earns its place if the score is better with it than without it, the others being made. Those that do not
    are left out, all at once or else the one that adds least, as long as the score stays as good and what remains is
    still better than today's settings beyond the noise: changes may stand in for each other, and noise may hide what
    each of them adds while all of them together are proved.
    """
    current = _without_idle_weights(today, best, measure)
    while True:
        without = {name: current.undone([name], today) for name in current.changes_from(today)}
        measure([current, *without.values()], 1)  # all at once: they can be trained side by side
        needed = {name: compare(params, current, measure) for name, params in without.items()}
        idle = sorted((name for name, gain in needed.items() if not gain.is_better), key=lambda name: needed[name].gain)
        shorter = [current.undone(idle, today), *(without[name] for name in idle)] if idle else []
        kept = next((params for params in shorter if is_as_good(params, current, today, measure)), None)
        if kept is None:
            return current, needed
        current = kept


def _without_idle_weights(today: Params, best: Params, measure: Measure) -> Params:
    """Loss weights act by their ratios: several of them are taken back together before each is asked for by itself."""
    weights = [name for name in best.changes_from(today) if name.startswith("loss_weights.")]
    if len(weights) < SEVERAL:
        return best
    shorter = best.undone(weights, today)
    return shorter if is_as_good(shorter, best, today, measure) else best


def is_as_good(shorter: Params, current: Params, today: Params, measure: Measure) -> bool:
    """Whether fewer or smaller changes do as well as the current ones, and better than none."""
    if shorter.key() == today.key() or compare(shorter, current, measure).is_better:
        return False
    return compare(today, shorter, measure).is_better


def changes(today: Params, chosen: Params, needed: Mapping[str, Effect], measure: Measure) -> tuple[Change, ...]:
    """The changed settings, each with its effect alone."""
    flat, changed = today.flat(), chosen.changes_from(today)
    before, *after = measure([today, *(today.with_values({name: new}) for name, new in changed.items())], 1)
    return tuple(
        Change(name, flat.get(name), new, effect(before, scores), needed[name])
        for (name, new), scores in zip(changed.items(), after, strict=True)
    )


def beats_constant(scores: Scores) -> bool:
    """Whether the settings do better than the best constant predictor on most seeds, by a gain worth having."""
    return float(np.median(list(scores.values()))) < CONSTANT_PREDICTOR - MIN_GAIN


def metric_is_worse(before: Measured, after: Measured, goal: str) -> bool:
    """Whether the task's own metric got worse beyond the seeds' noise although the score got better."""
    seeds = [seed for seed, value in before.metrics.items() if math.isfinite(value)]
    if any(not math.isfinite(after.metrics[seed]) for seed in seeds):
        return True
    if len(seeds) < 2:
        return False
    sign = 1 if goal == "maximize" else -1
    gains = np.array([sign * (after.metrics[s] - before.metrics[s]) for s in seeds])
    error = float(gains.std(ddof=1)) / math.sqrt(len(gains))
    return float(gains.mean()) + error * float(stdtrit(len(gains) - 1, 1 - (1 - CONFIDENCE) / 2)) < 0
