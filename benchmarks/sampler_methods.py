"""Who proposes settings, and who gives trials up: what preflight uses, and what Optuna has besides.

Left out: CMA-ES, which needs the package cmaes and proposes no categories, and the Wilcoxon pruner, which compares
scores of many independent instances where a trial has five rungs of one run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

from preflight.search.study import STARTUP_TRIALS

SamplerOf = Callable[[int], BaseSampler]  # of a seed
PrunerOf = Callable[[int], BasePruner]  # of the steps of a whole trial


def _today(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=False, constant_liar=False)


def _grouped(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=False)


def _process(seed: int) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)


def _sobol(seed: int) -> BaseSampler:
    return QMCSampler(qmc_type="sobol", scramble=True, seed=seed, warn_independent_sampling=False)


def _quiet(make: SamplerOf) -> SamplerOf:
    """Optuna calls some of them experimental."""

    def of(seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(seed)

    return of


SAMPLERS: Mapping[str, SamplerOf] = {
    "TPE, univariate": _today,
    "TPE, Optuna's default": lambda seed: TPESampler(seed=seed),
    "TPE, multivariate, grouped": _quiet(_grouped),
    "Gaussian process": _quiet(_process),
    "random": lambda seed: RandomSampler(seed=seed),
    "scrambled Sobol": _quiet(_sobol),
}


def _first_third(steps: int) -> int:
    """A short horizon flatters low learning rates: before this, preflight judges nothing."""
    return -(-steps // 3)


PRUNERS: Mapping[str, PrunerOf] = {
    "median": lambda steps: MedianPruner(STARTUP_TRIALS, _first_third(steps)),
    "none": lambda steps: NopPruner(),
    "worst quarter": lambda steps: PercentilePruner(75.0, STARTUP_TRIALS, _first_third(steps)),
    "all but the best quarter": lambda steps: PercentilePruner(25.0, STARTUP_TRIALS, _first_third(steps)),
    "successive halving": lambda steps: SuccessiveHalvingPruner(_first_third(steps), reduction_factor=2),
    "hyperband": lambda steps: HyperbandPruner(_first_third(steps), steps, reduction_factor=2),
}

# What preflight explores with; a test holds it against ``create_study``.
OUR_SAMPLER, OUR_PRUNER = "TPE, univariate", "median"
