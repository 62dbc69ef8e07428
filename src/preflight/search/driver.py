"""Ask -> run -> tell: Optuna proposes, a trial trains, its outcome teaches the sampler."""

from __future__ import annotations

import random
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
Say = Callable[[str], None]

# Proposals in a row that were explored already, all but the first drawn at random: then the space counts as exhausted.
# Where a tenth of it were left, so many draws would miss that in one case of 24.
MAX_REPEATS = 30


def unheard(_text: str) -> None:
    """Nobody listens."""


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
    say: Say = unheard,
) -> list[Explored]:
    """Train ``budget.trials`` settings, today's first, then the ``hints`` of earlier stages, then what Optuna proposes.

    ``finish`` rounds a proposal to what can be written. Settings that were explored already are not trained again:
    Optuna is told their result, they count as no trial, and the next ones are drawn at random. There are fewer trials
    where the space has no more settings, which is told to ``say``.

    A trial that diverges, runs out of memory or crashes is told with the worst score and its reason: Optuna's FAIL
    would teach its samplers nothing. Raises KeyboardInterrupt when the user stops it, and :class:`ConfigError` where
    the study cannot be written any more; what was told stays.
    """
    _enqueue(study, space, (today, *hints))
    done: list[Explored] = []
    known: dict[object, tuple[int, Explored]] = {}
    repeats, draws = 0, random.Random(seed)
    started = time.monotonic()
    while len(done) < budget.trials and repeats < MAX_REPEATS:
        if budget.timeout_s is not None and time.monotonic() - started > budget.timeout_s:
            break
        if repeats:
            study.enqueue_trial({name: _drawn(axis, draws) for name, axis in space.items()})
        trial = study.ask(dict(space))
        trial.set_user_attr("settings", _origin(trial.number, len(hints), is_drawn=repeats > 0))
        params = finish(today.with_values(_proposed(trial, today))) if done else today
        if params.key() in known:
            _tell_again(study, trial, *known[params.key()])
            repeats += 1
            continue
        spec = TrialSpec("explore", len(done), params, seed, budget.trial_steps, budget.rungs)
        done.append(Explored(spec, _trained(study, engine, trial, spec, today.batch_size)))
        known[params.key()], repeats = (trial.number, done[-1]), 0
        watch(done[-1])
    if repeats == MAX_REPEATS:
        say(f"explored {len(done)} of {budget.trials} trials: {repeats} more proposals held no other settings")
    return done


def _enqueue(study: Study, space: Mapping[str, BaseDistribution], settings: Sequence[Params]) -> None:
    for params in settings:
        flat = params.flat()
        study.enqueue_trial({name: flat.get(name) for name in space if _is_inside(flat.get(name), space[name])})


def _proposed(trial: Trial, today: Params) -> dict[str, ParamValue]:
    """None for an extra that today's settings do not have: it stays with the factory's own default."""
    flat = today.flat()
    return {name: value for name, value in trial.params.items() if value is not None or name in flat}


def _trained(study: Study, engine: Engine, trial: Trial, spec: TrialSpec, batch_size: int) -> Result:
    try:
        result = engine.run_one(spec, _Rungs(trial, batch_size, spec.params.batch_size))
    except BaseException:  # Ctrl-C before or after the training itself, or a full disk: no trial stays RUNNING
        study.tell(trial, state=TrialState.FAIL)
        raise
    _tell(study, trial, spec, result)
    if result.outcome.status == INTERRUPTED:
        raise KeyboardInterrupt
    return result


def _origin(number: int, hints: int, *, is_drawn: bool) -> str:
    """Where a trial's settings come from, for the reader of the dashboard."""
    if number == 0:
        return "today's"
    if number <= hints:
        return "best learning rate of a ladder"
    return "drawn at random" if is_drawn else "proposed by Optuna"


def _is_inside(value: ParamValue, distribution: BaseDistribution) -> bool:
    """A zero is in no logarithmic range, and nothing is in no range at all."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high


def _drawn(distribution: BaseDistribution, draws: random.Random) -> ParamValue:
    """A value of the range, each as likely as any other, on the scale that it has."""
    if isinstance(distribution, CategoricalDistribution):
        return draws.choice(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    value = low * (high / low) ** draws.random() if distribution.log else draws.uniform(low, high)
    value = min(max(value, low), high)
    return round(value) if isinstance(distribution, IntDistribution) else value


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
    _describe(trial, spec, result)
    if outcome.status == INTERRUPTED:
        study.tell(trial, state=TrialState.FAIL)
    elif outcome.status == PRUNED:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, result.penalized)


def _tell_again(study: Study, trial: Trial, number: int, known: Explored) -> None:
    """Settings that trial ``number`` has trained: its result, with the rung that a sampler ranks a pruned one by."""
    _describe(trial, known.spec, known.result)
    trial.set_user_attr("same settings as", number)
    if known.result.outcome.status == PRUNED:
        for step, score in sorted(study.trials[number].intermediate_values.items())[-1:]:
            trial.report(score, step)
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, known.result.penalized)


def _describe(trial: Trial, spec: TrialSpec, result: Result) -> None:
    """What the dashboard shows of a trial besides its score."""
    outcome = result.outcome
    trial.set_user_attr("outcome", outcome.status)
    if outcome.reason:
        trial.set_user_attr("reason", outcome.reason)
    trial.set_user_attr("recording", f"trials/{spec.folder_name}")
    if result.metric == result.metric:
        trial.set_user_attr("metric", float(f"{result.metric:.6g}"))  # no digits that a float32 has not
