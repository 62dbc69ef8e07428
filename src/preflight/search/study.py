"""The Optuna study of a run: where it is stored, how it samples and prunes, what it shows in Optuna Dashboard."""

from __future__ import annotations

import warnings
from pathlib import Path

import optuna
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import TPESampler
from optuna.study import Study

from preflight.core.search_settings import BudgetSettings
from preflight.telemetry import store

SCORE_NAME = "validation score (1.0 = best constant predictor)"
# Before so many trials have finished, nothing is known to compare with.
STARTUP_TRIALS = 6


def create_study(name: str, run_dir: Path, budget: BudgetSettings, seed: int) -> Study:
    """A new study in the run directory's SQLite file; ``optuna-dashboard sqlite:///RUN_DIR/study.db`` shows it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name=name,
        storage=storage_url(run_dir),
        direction="minimize",
        sampler=TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=False, constant_liar=False),
        pruner=_pruner(budget),
    )
    with warnings.catch_warnings():  # experimental in Optuna 5
        warnings.simplefilter("ignore")
        study.set_metric_names([SCORE_NAME])
    return study


def storage_url(run_dir: Path) -> str:
    """Address of the study for Optuna and its dashboard."""
    return f"sqlite:///{run_dir / store.STUDY}"


def _pruner(budget: BudgetSettings) -> BasePruner:
    # A short horizon flatters low learning rates, so nothing is judged in the first third of a trial.
    first = -(-budget.trial_steps // 3)
    return MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=first)
