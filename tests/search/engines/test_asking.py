"""Trials that ask at every rung whether they are hopeless: wherever they run, the study is the driver's."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from preflight.core.params import Params
from preflight.search.driver import Explored, explore
from preflight.search.engines.base import Engine, Recipe
from preflight.search.engines.inline import Inline
from preflight.search.engines.local import Local
from preflight.telemetry import store
from preflight.trials.evaluation import Evaluation
from preflight.trials.outcome import COMPLETED, CRASHED, INTERRUPTED, PRUNED, WORST_SCORE

ENGINES: dict[str, Callable[[Recipe], Engine]] = {
    "inline": lambda recipe: Inline(recipe.make()),
    "local": lambda recipe: Local(recipe, recipe.make(), 2),
}
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
Question = tuple[int, Evaluation]


class Asked:
    """Keeps every question; hopeless from ``worse`` steps on."""

    def __init__(self, worse: int | None = None) -> None:
        self.questions: list[Question] = []
        self._worse = worse

    def __call__(self, steps_done: int, evaluation: Evaluation) -> bool:
        self.questions.append((steps_done, evaluation))
        return self._worse is not None and steps_done >= self._worse


def both(make_recipe: Any, act: Callable[[Engine], Any]) -> tuple[Any, Any]:
    """What an engine in this process and one of workers give."""
    found = []
    for make in ENGINES.values():
        engine = make(make_recipe())
        try:
            found.append(act(engine))
        finally:
            engine.close()
    return found[0], found[1]


def told(result: Any) -> str:
    """All digits of a result but the time that it took; as a text, in which NaN is equal to itself."""
    return repr(dataclasses.replace(result, seconds=0.0))


@pytest.mark.parametrize("worse", [None, 4])
def test_all_engines_ask_the_same_and_obey(worse: int | None, make_recipe: Any, make_spec: Any) -> None:
    spec = dataclasses.replace(make_spec(0), rungs=5)

    def act(engine: Engine) -> Any:
        asked = Asked(worse)
        return engine.run_one(spec, asked), asked.questions

    inline, (result, questions) = both(make_recipe, act)
    assert (told(inline[0]), repr(inline[1])) == (told(result), repr(questions))
    assert result.outcome.status == (COMPLETED if worse is None else PRUNED)
    assert [steps for steps, _ in questions] == ([2, 4, 6, 8] if worse is None else [2, 4])


def test_an_engine_that_has_run_others_asks_too_and_then_runs_others(make_recipe: Any, make_spec: Any) -> None:
    def act(engine: Engine) -> Any:
        first = [told(item) for item in engine.run([make_spec(0), make_spec(1)])]
        one = told(engine.run_one(make_spec(2), Asked()))
        return first, one, [told(item) for item in engine.run([make_spec(3)])]

    inline, local = both(make_recipe, act)
    assert inline == local


@needs_proc
def test_one_worker_trains_them_all(make_recipe: Any, make_spec: Any, workers: Any, tmp_path: Path) -> None:
    recipe = make_recipe()
    engine = Local(recipe, recipe.make(), 4)
    for index in range(3):
        engine.run_one(make_spec(index, place=str(tmp_path)), Asked())
        assert len(workers()) == 1
    built = (tmp_path / "live.log").read_text(encoding="utf-8").split()
    assert len(built) == 3 and len(set(built)) == 1 and built[0] != str(os.getpid())
    engine.close()


@pytest.mark.parametrize(("fate", "how"), [("SIGKILL", "SIGKILL"), ("SIGSEGV", "SIGSEGV"), ("leave", "exit code 3")])
def test_a_trial_that_ends_its_process_is_run_once_more_and_has_crashed(
    fate: str, how: str, make_recipe: Any, make_spec: Any, tmp_path: Path
) -> None:
    recipe = make_recipe()
    engine = Local(recipe, recipe.make(), 2)
    spec = make_spec(0, fate, place=str(tmp_path))
    result = engine.run_one(spec, Asked())
    assert result.outcome.status == CRASHED
    assert how in result.outcome.reason
    built = (tmp_path / f"{fate}.log").read_text(encoding="utf-8").split()
    assert len(set(built)) == 2 and str(os.getpid()) not in built
    trial = store.read_json(recipe.run_dir / store.TRIALS / spec.folder_name / store.TRIAL)
    assert trial["outcome"] == result.outcome.as_dict()
    assert engine.run_one(make_spec(1), Asked()).outcome.status == COMPLETED
    engine.close()


def test_a_trial_that_is_killed_once_asks_again_and_is_not_blamed(
    make_recipe: Any, make_spec: Any, tmp_path: Path
) -> None:
    spec = make_spec(0, "killed late", place=str(tmp_path))
    recipe = make_recipe()
    engine = Local(recipe, recipe.make(), 2)
    asked = Asked()
    killed = told(engine.run_one(spec, asked))
    engine.close()
    assert [steps for steps, _ in asked.questions] == [5, 5]
    assert repr(asked.questions[0]) == repr(asked.questions[1])
    assert killed == told(Inline(make_recipe().make()).run_one(spec, Asked()))  # nobody is killed a second time


def test_what_the_study_raises_ends_the_workers_and_is_passed_on(make_recipe: Any, make_spec: Any) -> None:
    def broken(steps_done: int, evaluation: Evaluation) -> bool:
        raise ZeroDivisionError("the study is gone")

    recipe = make_recipe()
    engine = Local(recipe, recipe.make(), 2)
    with pytest.raises(ZeroDivisionError, match="the study is gone"):
        engine.run_one(make_spec(0), broken)
    assert engine._workers() == []


@pytest.mark.parametrize("name", ENGINES)
def test_ctrl_c_at_a_rung_is_an_interrupted_trial(name: str, make_recipe: Any, make_spec: Any) -> None:
    def stopped(steps_done: int, evaluation: Evaluation) -> bool:
        raise KeyboardInterrupt

    recipe = make_recipe()
    engine = ENGINES[name](recipe)
    spec = make_spec(0)
    assert engine.run_one(spec, stopped).outcome.status == INTERRUPTED
    trial = store.read_json(recipe.run_dir / store.TRIALS / spec.folder_name / store.TRIAL)
    assert trial["outcome"]["status"] == INTERRUPTED
    engine.close()


def test_where_no_worker_can_start_this_process_is_asked(make_recipe: Any, make_spec: Any, settings: Any) -> None:
    recipe = make_recipe()
    model = dataclasses.replace(settings.model, data={"_target_": "users_engine_task.no_data"})
    broken = dataclasses.replace(recipe, settings=dataclasses.replace(settings, model=model))
    engine = Local(broken, recipe.make(), 1)
    asked = Asked(5)
    assert engine.run_one(make_spec(0), asked).outcome.status == PRUNED
    assert len(asked.questions) == 1
    engine.close()


DRIVER = """
import pickle, sys, time
from preflight.search.engines.local import Local
recipe, spec = pickle.load(open(sys.argv[1], "rb"))

def wait(steps_done, evaluation):
    print("asked", flush=True)
    time.sleep(600)

Local(recipe, recipe.make(), 2).run_one(spec, wait)
"""


@needs_proc
@pytest.mark.slow
def test_a_driver_that_is_killed_while_it_is_asked_leaves_no_crash_behind(
    make_recipe: Any, make_spec: Any, tmp_path: Path
) -> None:
    recipe, spec = make_recipe(), make_spec(0)
    (tmp_path / "order.pickle").write_bytes(pickle.dumps((recipe, spec)))
    command = [sys.executable, "-c", DRIVER, "order.pickle"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "asked\n"
        driver.kill()
    assert_session_ends(driver.pid)
    assert not (recipe.run_dir / store.TRIALS / spec.folder_name / store.TRIAL).exists()


def assert_session_ends(leader: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(leader, signal.SIGKILL)
    raise AssertionError("a worker outlives its driver")


SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 10.0, log=True),
    "batch_size": CategoricalDistribution((8, 4)),
    "normalization.input": CategoricalDistribution(("none", "standardize")),
}


def study_of(
    engine: Engine, settings: Any, today: Params, space: dict[str, BaseDistribution]
) -> tuple[optuna.Study, list[Explored]]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = TPESampler(seed=1, n_startup_trials=4, multivariate=False)
    study = optuna.create_study(sampler=sampler, pruner=MedianPruner(n_startup_trials=3, n_warmup_steps=3))
    budget = dataclasses.replace(settings.budget, trials=14, trial_steps=20, rungs=5)
    explored = explore(study, engine, today, space, budget, 1, lambda params: params, lambda item: None)
    engine.close()
    return study, explored


def record(study: optuna.Study) -> list[Any]:
    return [(item.params, item.value, item.state, item.intermediate_values, item.user_attrs) for item in study.trials]


def test_the_same_seed_gives_the_same_study_in_every_engine(make_recipe: Any, make_spec: Any, settings: Any) -> None:
    today = make_spec(0, **{"normalization.input": "none"}).params
    one, other = both(make_recipe, lambda engine: study_of(engine, settings, today, SPACE))
    assert record(one[0]) == record(other[0])
    for inline, local in zip(one[1], other[1], strict=True):
        assert (inline.spec, told(inline.result)) == (local.spec, told(local.result))
    assert {TrialState.PRUNED, TrialState.COMPLETE} == {trial.state for trial in other[0].trials}


def test_a_study_goes_on_past_trials_that_end_their_process(make_recipe: Any, make_spec: Any, settings: Any) -> None:
    space = {**SPACE, "fate": CategoricalDistribution(("live", "SIGKILL"))}
    recipe = make_recipe()
    study, explored = study_of(Local(recipe, recipe.make(), 2), settings, make_spec(0).params, space)
    assert len(explored) == 14
    killed = [trial for trial in study.trials if trial.params["fate"] == "SIGKILL"]
    assert 0 < len(killed) < 14
    for trial in killed:
        assert (trial.value, trial.user_attrs["outcome"]) == (WORST_SCORE, CRASHED)
        assert re.match(r"its process was ended by SIGKILL", trial.user_attrs["reason"])


def test_a_worker_that_is_killed_from_outside_changes_nothing_in_the_study(
    make_recipe: Any, make_spec: Any, settings: Any, tmp_path: Path
) -> None:
    today = make_spec(0, "killed late", place=str(tmp_path), **{"normalization.input": "none"}).params
    killed_recipe, recipe = make_recipe(), make_recipe()
    killed = study_of(Local(killed_recipe, killed_recipe.make(), 2), settings, today, SPACE)[0]
    assert len((tmp_path / "killed late.log").read_text(encoding="utf-8").split()) == 15
    unharmed = study_of(Local(recipe, recipe.make(), 2), settings, today, SPACE)[0]
    assert record(killed) == record(unharmed)
