"""Ask -> run -> tell: Optuna proposes, a trial trains, its outcome teaches the sampler."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import Trial, TrialState

from preflight.core.params import Params, ParamValue
from preflight.core.search_settings import BudgetSettings
from preflight.search.engines.base import Engine
from preflight.search.study import storing
from preflight.trials.evaluation import Evaluation
from preflight.trials.lab import TrialSpec
from preflight.trials.outcome import INTERRUPTED, PRUNED, WORST_SCORE, Result


@dataclass(frozen=True)
class Explored:
    """One explored trial."""

    spec: TrialSpec
    result: Result


Watcher = Callable[[Explored], None]
Finish = Callable[[Params], Params]


@storing()
def explore(
    study: Study,
    engine: Engine,
    today: Params,
    space: Mapping[str, BaseDistribution],
    budget: BudgetSettings,
    seed: int,
    finish: Finish,
    watch: Watcher,
    hints: Sequence[Params] = (),
) -> list[Explored]:
    """Train ``budget.trials`` settings, today's first, then the ``hints`` of earlier stages, then what Optuna proposes.

    ``finish`` rounds a proposal to what can be written.

    A trial that diverges, runs out of memory or crashes is told with the worst score and its reason: Optuna's FAIL
    would teach its samplers nothing. Raises KeyboardInterrupt when the user stops it, and :class:`ConfigError` where
    the study cannot be written any more; what was told stays.
    """
    flat = today.flat()
    for settings in (today, *hints):
        known = settings.flat()
        study.enqueue_trial({name: known.get(name) for name in space if _is_inside(known.get(name), space[name])})
    done: list[Explored] = []
    started = time.monotonic()
    for index in range(budget.trials):
        if budget.timeout_s is not None and time.monotonic() - started > budget.timeout_s:
            break
        trial = study.ask(dict(space))
        trial.set_user_attr("settings", _origin(index, len(hints)))
        # None for an extra that today's settings do not have: it stays with the factory's own default.
        proposed = {name: value for name, value in trial.params.items() if value is not None or name in flat}
        params = today if index == 0 else finish(today.with_values(proposed))
        spec = TrialSpec("explore", index, params, seed, budget.trial_steps, budget.rungs)
        try:
            result = engine.run_one(spec, _Rungs(trial, today.batch_size, params.batch_size))
        except BaseException:  # Ctrl-C before or after the training itself, or a full disk: no trial stays RUNNING
            study.tell(trial, state=TrialState.FAIL)
            raise
        _tell(study, trial, spec, result)
        if result.outcome.status == INTERRUPTED:
            raise KeyboardInterrupt
        done.append(Explored(spec, result))
        watch(done[-1])
    return done


def _origin(index: int, hints: int) -> str:
    """Where a trial's settings come from, for the reader of the dashboard."""
    if index == 0:
        return "today's"
    return "best learning rate of a ladder" if index <= hints else "proposed by Optuna"


def _is_inside(value: ParamValue, distribution: BaseDistribution) -> bool:
    """A zero is in no logarithmic range, and nothing is in no range at all."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high


class _Rungs:
    """Reports a trial's rungs to Optuna, in steps at today's batch size, and asks whether it is hopeless."""

    def __init__(self, trial: Trial, reference_batch_size: int, batch_size: int) -> None:
        self._trial = trial
        self._scale = batch_size / reference_batch_size
        self._answers: dict[int, bool] = {}

    def __call__(self, steps_done: int, evaluation: Evaluation) -> bool:
        if steps_done not in self._answers:  # a trial that is run again gets the answers that it got before
            self._trial.report(min(evaluation.score, WORST_SCORE), round(steps_done * self._scale))
            self._answers[steps_done] = self._trial.should_prune()
        return self._answers[steps_done]


def _tell(study: Study, trial: Trial, spec: TrialSpec, result: Result) -> None:
    outcome = result.outcome
    trial.set_user_attr("outcome", outcome.status)
    if outcome.reason:
        trial.set_user_attr("reason", outcome.reason)
    trial.set_user_attr("recording", f"trials/{spec.folder_name}")
    if result.metric == result.metric:
        trial.set_user_attr("metric", float(f"{result.metric:.6g}"))  # no digits that a float32 has not
    if outcome.status == INTERRUPTED:
        study.tell(trial, state=TrialState.FAIL)
    elif outcome.status == PRUNED:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, result.penalized)
