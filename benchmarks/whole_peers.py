"""What an engineer would run in place of preflight, at the steps that preflight spent and over the same settings.

Every trial is a run to the horizon with today's schedule, one seed each; the best validation score wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from benchmarks.whole_setup import Setup
from preflight.core.params import Params, ParamValue
from preflight.pipeline.axes import searched
from preflight.pipeline.inspection import normalization_that_fits
from preflight.trials.lab import Lab, TrialSpec

LOW, HIGH = 1e-5, 1.0
RATES = tuple(float(f"{10 ** (half / 2):.1g}") for half in range(-10, 1))
# What preflight changes only where a finding asks for it, as lists that an engineer would write.
MENDED: Mapping[str, tuple[ParamValue, ...]] = {
    "shuffle": (True, False),
    "weight_decay": (None, 0.0, 0.01, 0.1),
    "clip_norm": (None, 0.1, 1.0, 10.0),
}


@dataclass(frozen=True)
class Question:
    """A start as preflight inspected it, and what may be spent on it."""

    setup: Setup
    lab: Lab
    steps: int
    seed: int

    @property
    def today(self) -> Params:
        """Today's settings."""
        return self.setup.inspection.today.params

    @property
    def horizon(self) -> int:
        """Steps of a full run."""
        return self.setup.inspection.today.length.horizon_steps

    @property
    def trials(self) -> int:
        """Full runs that the steps allow."""
        return max(1, self.steps // self.horizon)

    def axes(self) -> dict[str, BaseDistribution]:
        """Every setting that preflight may change here."""
        setup = self.setup
        found = searched(setup.settings.space, setup.inspection, setup.task, (LOW, HIGH))
        found["lr"] = FloatDistribution(LOW, HIGH, log=True)
        flat = self.today.flat()
        for name, choices in MENDED.items():
            found[name] = CategoricalDistribution(list(dict.fromkeys((flat[name], *choices))))
        return found

    def score(self, params: Params, index: int) -> float:
        """Validation score of a full run; the worst one for a run that was lost."""
        return self.lab.run(TrialSpec("peer", index, params, self.seed, self.horizon, 1)).penalized


Peer = Callable[[Question], Params]


def _searched(question: Question, sampler: BaseSampler) -> Params:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study, axes = optuna.create_study(sampler=sampler), question.axes()
    tried: dict[int, Params] = {}
    for index in range(question.trials):
        trial = study.ask(axes)
        tried[index] = question.today.with_values(trial.params)
        study.tell(trial, question.score(tried[index], index))
    return tried[study.best_trial.number]


def random_search(question: Question) -> Params:
    """Settings drawn at random."""
    return _searched(question, RandomSampler(seed=question.seed))


def plain_tpe(question: Question) -> Params:
    """Optuna's default sampler."""
    return _searched(question, TPESampler(seed=question.seed))


def grid(question: Question) -> Params:
    """Half decades of the learning rate, with today's normalization and with the one that fits, as far as it goes."""
    tried = dict(zip(range(question.trials), _cells(question), strict=False))
    scores = {index: question.score(params, index) for index, params in tried.items()}
    return tried[min(scores, key=scores.__getitem__)]


def _cells(question: Question) -> Iterator[Params]:
    fitting = normalization_that_fits(question.setup.inspection)
    ways = [question.today, question.today.with_values(fitting)]
    for params, lr in product({item.key(): item for item in ways}.values(), RATES):
        yield params.with_values({"lr": lr})


PEERS: Mapping[str, Peer] = {"random search": random_search, "Optuna TPE": plain_tpe, "budget grid": grid}
