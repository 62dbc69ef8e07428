"""The Optuna study of a run: where it is stored, how it samples and prunes, what it shows in Optuna Dashboard."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import TPESampler
from optuna.study import Study
from sqlalchemy.exc import SQLAlchemyError

from preflight.core.errors import ConfigError
from preflight.core.search_settings import BudgetSettings
from preflight.telemetry import store
from preflight.trials.outcome import WORST_SCORE

SCORE_NAME = "validation score"
SCORE_MEANING = "loss / best constant predictor, mean over the losses; lower is better"
WORST_MEANING = f"{WORST_SCORE:g} or worse, and of every trial that did not end with a score: see its outcome"
# Before so many trials have finished, nothing is known to compare with.
STARTUP_TRIALS = 6


def create_study(name: str, run_dir: Path, budget: BudgetSettings, seed: int) -> Study:
    """A new study in the run directory's SQLite file, which ``optuna-dashboard`` shows at ``store.study_url``.

    Raises :class:`ConfigError` where the file cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with storing():
        study = optuna.create_study(
            study_name=name,
            storage=store.study_url(run_dir),
            direction="minimize",
            sampler=TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=False, constant_liar=False),
            pruner=_pruner(budget),
        )
        with warnings.catch_warnings():  # experimental in Optuna 5
            warnings.simplefilter("ignore")
            study.set_metric_names([SCORE_NAME])
        study.set_user_attr(SCORE_NAME, SCORE_MEANING)
        study.set_user_attr("worst score", WORST_MEANING)
        study.set_user_attr("intermediate values", "score by optimizer step, counted at today's batch size")
    return study


@contextmanager
def storing() -> Iterator[None]:
    """A full disk, or a run directory that is gone, is the user's to mend: :class:`ConfigError`, in SQLite's words."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ConfigError(f"{store.STUDY} in the run directory cannot be written: {cause}") from error


def _pruner(budget: BudgetSettings) -> BasePruner:
    # A short horizon flatters low learning rates, so nothing is judged in the first third of a trial.
    first = -(-budget.trial_steps // 3)
    return MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=first)
