"""Plain searches at the steps that preflight spent: a grid, random rates, Optuna's TPE.

Every trial has the task's whole schedule inside; where the budget does not hold enough full runs, all are shorter.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import optuna
from optuna.samplers import TPESampler

from benchmarks.lr_loop import counted, train
from benchmarks.lr_peers.base import Answers, Question
from benchmarks.lr_verdict import Suggestion

LOW, HIGH = 1e-5, 1.0
RATES = tuple(float(f"{10 ** (half / 2):.1g}") for half in range(-10, 1))
# Fewer would leave a decade with less than four.
TRIALS = 20
# A tool's seed s trains on seeds from 1000 s on: none of the truth's.
SEEDS_APART = 1000


def budget_grid(question: Question) -> Answers:
    """Half decades from 1e-5 to 1, on as many seeds as full runs fit into the budget."""
    task, budget = question.task, question.budget_steps
    length = min(task.horizon_steps, budget // len(RATES))
    repeats = max(1, budget // (len(RATES) * length))
    with counted() as steps:
        ends = {lr: [train(task, lr, _seed(question, index), length) for index in range(repeats)] for lr in RATES}
    best = min(RATES, key=lambda lr: statistics.median(ends[lr]))
    return {"budget grid": Suggestion(best, steps.done)}


def random_search(question: Question) -> Answers:
    """Rates drawn evenly on a logarithmic scale."""
    rng = np.random.default_rng(question.seed)
    count, length = _trials(question)
    with counted() as steps:
        ends = {
            float(lr): train(question.task, float(lr), _seed(question), length)
            for lr in np.exp(rng.uniform(math.log(LOW), math.log(HIGH), count))
        }
    return {"random search": Suggestion(min(ends, key=ends.__getitem__), steps.done)}


def plain_tpe(question: Question) -> Answers:
    """Optuna as its first example has it, with a logarithmic range."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    count, length = _trials(question)
    study = optuna.create_study(sampler=TPESampler(seed=question.seed))
    with counted() as steps:
        study.optimize(_objective(question, length), n_trials=count)
    return {"Optuna TPE": Suggestion(float(study.best_params["lr"]), steps.done)}


def _objective(question: Question, length: int) -> Callable[[optuna.Trial], float]:
    def objective(trial: optuna.Trial) -> float:
        return train(question.task, trial.suggest_float("lr", LOW, HIGH, log=True), _seed(question), length)

    return objective


def _trials(question: Question) -> tuple[int, int]:
    """How many, and of how many steps each."""
    horizon = question.task.horizon_steps
    length = min(horizon, question.budget_steps // TRIALS)
    return question.budget_steps // length, length


def _seed(question: Question, index: int = 0) -> int:
    return SEEDS_APART * (question.seed + 1) + index
