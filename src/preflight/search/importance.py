"""How much of the spread of the explored scores each searched setting explains, over resampled searches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import MeanDecreaseImpurityImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, create_trial

from preflight.advise.importance import Importance, Share
from preflight.core.params import ParamValue
from preflight.search.driver import Explored

Array = npt.NDArray[np.float64]
Settings = Mapping[str, ParamValue]

RESAMPLED = 60
TREES, MAX_DEPTH = 16, 16
# Of so many trials the one setting that matters was told from chance in half of the searches with known answers, of
# fewer in none: see tests/search/test_importance.py.
MIN_TRIALS = 10
TAIL = 0.025
# A column of random numbers: what a setting explains that does nothing (Kursa and Rudnicki 2010, Boruta).
CHANCE = "a column of random numbers"


def importance(explored: Sequence[Explored], axes: Mapping[str, BaseDistribution], seed: int) -> Importance:
    """Share of each axis in the spread of the logarithm of the scores, from random forests on bootstraps of the trials.

    It is the mean decrease in impurity: of a sum of two settings fANOVA gives the same shares and takes 4 to 20 times
    as long. Both lean to the stronger one, which gets 0.8 for 0.75 of the variance. A trial that was stopped early
    counts with the score it had then, one without a score with the worst.
    """
    free = {name: axis for name, axis in axes.items() if not axis.single()}
    known = [(_settings(item, free), item.result.penalized) for item in explored]
    wide = {name: _widened(axis, [settings[name] for settings, _ in known]) for name, axis in free.items()}
    kept = [(settings, score) for settings, score in known if all(_is_inside(settings[n], wide[n]) for n in wide)]
    lost = sum(not math.isfinite(item.result.confirmed) for item in explored)
    scores = _level(np.array([score for _, score in kept], dtype=np.float64))
    why_not = _why_not(free, scores)
    if why_not:
        return Importance(len(kept), lost, (), why_not)
    drawn = _Resampled([settings for settings, _ in kept], scores, wide).shares(np.random.default_rng(seed))
    names = list(wide)
    shares = [_share(name, drawn[:, index], drawn[:, -1]) for index, name in enumerate(names)]
    return Importance(len(kept), lost, tuple(sorted(shares, key=lambda share: -share.share)))


def _why_not(axes: Mapping[str, BaseDistribution], scores: Array) -> str:
    if not axes:
        return "no setting was searched"
    if len(scores) < MIN_TRIALS:
        return f"{len(scores)} trial{'s' * (len(scores) != 1)}, of which nothing can be told below {MIN_TRIALS}"
    if np.ptp(scores) == 0:
        return f"all {len(scores)} trials have the same score"
    return ""


def _level(scores: Array) -> Array:
    """Logarithm of the scores, or themselves where a loss can go below zero."""
    return np.log(scores) if len(scores) and scores.min() > 0 else scores


def _settings(item: Explored, axes: Mapping[str, BaseDistribution]) -> dict[str, ParamValue]:
    """What a trial trained with; None for an extra that was left to the factory."""
    flat = item.spec.params.flat()
    return {name: _as_proposed(flat.get(name), axis) for name, axis in axes.items()}


def _as_proposed(value: ParamValue, axis: BaseDistribution) -> ParamValue:
    """The choice that a number was rounded from, as a warmup is to whole steps of the file."""
    if not isinstance(axis, CategoricalDistribution) or value in axis.choices or not isinstance(value, float):
        return value
    numbers = [choice for choice in axis.choices if isinstance(choice, int | float) and not isinstance(choice, bool)]
    return min(numbers, key=lambda choice: abs(choice - value), default=value)


def _widened(axis: BaseDistribution, values: Sequence[ParamValue]) -> BaseDistribution:
    """An axis with the settings that were trained inside: today's, and what rounding moved over an edge."""
    if isinstance(axis, CategoricalDistribution):
        return axis
    assert isinstance(axis, FloatDistribution | IntDistribution)
    numbers = [value for value in values if isinstance(value, int | float) and (value > 0 or not axis.log)]
    low, high = min(axis.low, *numbers, axis.low), max(axis.high, *numbers, axis.high)
    if isinstance(axis, IntDistribution):
        return IntDistribution(int(low), int(high), log=axis.log)
    return FloatDistribution(low, high, log=axis.log)


def _is_inside(value: ParamValue, axis: BaseDistribution) -> bool:
    """A zero is in no logarithmic range, so that today's settings may take no part."""
    if isinstance(axis, CategoricalDistribution):
        return value in axis.choices
    assert isinstance(axis, FloatDistribution | IntDistribution)
    return isinstance(value, int | float) and axis.low <= value <= axis.high


@dataclass(frozen=True)
class _Resampled:
    """Trials with ``scores[N]``, drawn with replacement again and again."""

    settings: Sequence[Settings]
    scores: Array
    axes: Mapping[str, BaseDistribution]

    def shares(self, random: np.random.Generator) -> Array:
        """Shares ``[R, A + 1]`` of the axes and, last, of random numbers, in each of the resampled searches."""
        return np.array([self._once(random) for _ in range(RESAMPLED)])

    def _once(self, random: np.random.Generator) -> list[float]:
        count = len(self.scores)
        drawn, noise = random.integers(0, count, count), random.random(count)
        axes = {**self.axes, CHANCE: FloatDistribution(0, 1)}
        if np.ptp(self.scores[drawn]) == 0:
            return [0.0] * len(axes)
        trials = [
            create_trial(
                params={**self.settings[index], CHANCE: float(noise[index])},
                distributions=dict(axes),
                value=float(self.scores[index]),
            )
            for index in drawn
        ]
        found = _of_forest(trials, int(random.integers(2**31)))
        return [found.get(name, 0.0) for name in axes]


def _of_forest(trials: Sequence[FrozenTrial], seed: int) -> dict[str, float]:
    study = optuna.create_study()
    study.add_trials(trials)
    evaluator = MeanDecreaseImpurityImportanceEvaluator(n_trees=TREES, max_depth=MAX_DEPTH, seed=seed)
    return get_param_importances(study, evaluator=evaluator)


def _share(name: str, shares: Array, chance: Array) -> Share:
    low, middle, high = (float(value) for value in np.quantile(shares, [TAIL, 0.5, 1 - TAIL]))
    return Share(name, middle, low, high, float((shares > chance).mean()))
