from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.study import Study

from preflight.core.params import Params
from preflight.core.search_settings import BudgetSettings
from preflight.trials.evaluation import Evaluation
from preflight.trials.lab import TrialSpec
from preflight.trials.loop import Hopeless, rungs
from preflight.trials.outcome import COMPLETED, PRUNED, Outcome, Result

Answer = Callable[[TrialSpec], Result]


def good(spec: TrialSpec) -> Result:
    """Completed; the best learning rate is 0.01."""
    score = abs(math.log10(spec.params.lr) + 2)
    return Result(Outcome(COMPLETED), score, 7.0, {"mse": score}, spec.steps, 0.1)


@dataclass
class FakeEngine:
    """Answers in place of training, and asks at every rung whether the trial is hopeless."""

    answer: Answer = good
    batch_size: int = 8
    specs: list[TrialSpec] = field(default_factory=list)

    def run_one(self, spec: TrialSpec, hopeless: Hopeless) -> Result:
        self.specs.append(spec)
        result = self.answer(spec)
        steps = round(spec.steps * self.batch_size / spec.params.batch_size)
        for rung in rungs(steps, spec.rungs)[:-1]:
            if result.outcome.status == COMPLETED and hopeless(rung, Evaluation({}, result.score, math.nan, {})):
                return Result(Outcome(PRUNED, "hopeless"), result.score, result.metric, {}, rung, 0.1)
        return result


@pytest.fixture
def make_engine() -> Callable[..., FakeEngine]:
    return FakeEngine


@pytest.fixture
def answer_well() -> Answer:
    return good


@pytest.fixture
def make_study() -> Callable[..., Study]:
    """A study in memory with the sampler of a run."""

    def make(seed: int = 0, pruner: optuna.pruners.BasePruner | None = None) -> Study:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = TPESampler(seed=seed, n_startup_trials=4, multivariate=False, constant_liar=False)
        return optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner or optuna.pruners.NopPruner())

    return make


@pytest.fixture
def make_budget() -> Callable[..., BudgetSettings]:
    def make(**changes: object) -> BudgetSettings:
        values = {
            "trials": 8,
            "trial_steps": 12,
            "rungs": 3,
            "range_steps": 8,
            "range_seeds": 1,
            "candidates": 1,
            "seeds": 2,
            "confirm_steps": 20,
            "validation_samples": 50,
        }
        return BudgetSettings(**values | changes)  # type: ignore[arg-type]

    return make


@pytest.fixture
def today() -> Params:
    return Params(
        lr=0.3,
        batch_size=8,
        loss_weights={"a": 1.0, "b": 2.0, "off": 0.0},
        normalization={"input": "none"},
        extras={"dropout": 0.1},
    )
