"""The contract of an engine, held against every engine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from preflight.core.settings import Settings
from preflight.search.engines.base import Engine, Recipe
from preflight.search.engines.inline import Inline
from preflight.search.engines.local import Local, choose_engine
from preflight.telemetry import store
from preflight.trials.lab import TrialSpec
from preflight.trials.outcome import COMPLETED, CRASHED, DIVERGED, WORST_SCORE, Result

ENGINES: dict[str, Callable[[Recipe], Engine]] = {
    "inline": lambda recipe: Inline(recipe.make()),
    "local": lambda recipe: Local(recipe, recipe.make(), 2),
}
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


@pytest.fixture(scope="module")
def specs(make_spec: Any) -> list[TrialSpec]:
    """Trials of every kind, the longest first."""
    return [
        dataclasses.replace(make_spec(0), steps=100),
        make_spec(1, lr=1e20),
        make_spec(2, "crash"),
        make_spec(3, batch_size=4, **{"normalization.input": "standardize"}),
    ]


@dataclass
class Done:
    results: list[Result]
    folder: Path


@pytest.fixture(scope="module")
def done(make_recipe: Any, specs: list[TrialSpec]) -> dict[str, Done]:
    """The same trials by every engine."""
    found = {}
    for name, make in ENGINES.items():
        recipe = make_recipe()
        engine = make(recipe)
        try:
            found[name] = Done(list(engine.run(specs)), recipe.run_dir / store.TRIALS)
        finally:
            engine.close()
    return found


@pytest.mark.parametrize("name", ENGINES)
def test_results_come_in_the_order_of_the_specifications(name: str, done: dict[str, Done]) -> None:
    results = done[name].results
    assert [result.outcome.status for result in results] == [COMPLETED, DIVERGED, CRASHED, COMPLETED]
    assert [result.steps_done for result in results] == [100, results[1].steps_done, 0, 20]
    assert "no such fate" in results[2].outcome.reason


@pytest.mark.parametrize("name", ENGINES)
def test_every_trial_leaves_its_folder(name: str, done: dict[str, Done], specs: list[TrialSpec]) -> None:
    folders = sorted(path.name for path in done[name].folder.iterdir())
    assert folders == [spec.folder_name for spec in specs]
    for spec, result in zip(specs, done[name].results, strict=True):
        info = store.read_json(done[name].folder / spec.folder_name / store.TRIAL)
        assert info["outcome"] == result.outcome.as_dict()


def test_all_engines_give_the_same_results(done: dict[str, Done]) -> None:
    def told(result: Result) -> Any:
        outcome = dataclasses.replace(result.outcome, traceback=None)
        return outcome, result.penalized, result.losses, result.steps_done

    inline, local = ([told(result) for result in done[name].results] for name in ("inline", "local"))
    assert inline == local
    assert inline[0][1] < WORST_SCORE


def test_all_engines_write_the_same_files_to_the_byte(done: dict[str, Done]) -> None:
    inline, local = (
        {path.relative_to(item.folder): path.read_bytes() for path in item.folder.rglob("*.csv")}
        for item in (done["inline"], done["local"])
    )
    assert inline == local and len(inline) == 15


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_runs_again_after_it_was_closed_and_closes_twice(name: str, make_recipe: Any, make_spec: Any) -> None:
    engine = ENGINES[name](make_recipe())
    engine.close()
    for index in range(2):
        (result,) = engine.run([make_spec(index)])
        assert result.outcome.status == COMPLETED
    assert list(engine.run([])) == []
    engine.close()
    engine.close()


@pytest.mark.parametrize("name", ENGINES)
def test_every_trial_that_ends_is_counted_once(name: str, make_recipe: Any, make_spec: Any) -> None:
    engine, ends = ENGINES[name](make_recipe()), []
    fates = ["live", "crash", "live"]
    results = engine.run([make_spec(i, fate) for i, fate in enumerate(fates)], lambda: ends.append(1))
    assert len(list(results)) == len(ends) == 3
    engine.close()


def test_a_trial_that_ends_before_an_earlier_one_is_counted_then(make_recipe: Any, make_spec: Any) -> None:
    ends: list[int] = []

    def stop_at_three() -> None:
        ends.append(1)
        if len(ends) == 3:
            raise KeyboardInterrupt

    recipe = make_recipe()
    long = dataclasses.replace(make_spec(0), steps=30_000)
    results = Local(recipe, recipe.make(), 2).run([long, *(make_spec(index) for index in (1, 2, 3))], stop_at_three)
    with pytest.raises(KeyboardInterrupt):
        next(results)
    finished = sorted(path.parent.name for path in recipe.run_dir.glob(f"{store.TRIALS}/*/{store.TRIAL}"))
    assert finished == ["confirm-001", "confirm-002", "confirm-003"]


@pytest.mark.parametrize("name", ENGINES)
def test_an_interruption_ends_the_run(name: str, make_recipe: Any, make_spec: Any) -> None:
    engine = ENGINES[name](make_recipe())
    try:
        results = engine.run([make_spec(0), make_spec(1, "interrupt"), make_spec(2)])
        assert next(results).outcome.status == COMPLETED
        with pytest.raises(KeyboardInterrupt):
            next(results)
    finally:
        engine.close()


@needs_proc
def test_a_worker_that_is_killed_between_runs_costs_nothing(
    make_recipe: Any, make_spec: Any, workers: Callable[[], list[int]]
) -> None:
    recipe = make_recipe()
    engine = Local(recipe, recipe.make(), 2)
    assert next(engine.run([make_spec(0)])).outcome.status == COMPLETED
    for pid in workers():
        os.kill(pid, signal.SIGKILL)
    assert_none_left(workers)
    results = list(engine.run([make_spec(1), make_spec(2)]))
    assert [result.outcome.status for result in results] == [COMPLETED, COMPLETED]
    engine.close()
    assert_none_left(workers)


@needs_proc
def test_a_run_that_is_given_up_ends_its_workers(
    make_recipe: Any, make_spec: Any, workers: Callable[[], list[int]]
) -> None:
    recipe = make_recipe()
    long = dataclasses.replace(make_spec(1), steps=30_000)
    results = Local(recipe, recipe.make(), 2).run([make_spec(0), long])
    assert next(results).outcome.status == COMPLETED
    assert workers()
    results.close()
    assert_none_left(workers)
    assert not (recipe.run_dir / store.TRIALS / long.folder_name / store.TRIAL).exists()


DRIVER = """
import pickle, sys
from preflight.search.engines.local import Local
recipe, specs = pickle.load(open(sys.argv[1], "rb"))
for result in Local(recipe, recipe.make(), 2).run(specs):
    print(result.outcome.status, flush=True)
"""


def processes_in(folder: Path) -> list[int]:
    """Process ids of all that run in ``folder``; what has ended has no folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if path.readlink() == folder:
                found.append(int(path.parent.name))
    return found


@needs_proc
@pytest.mark.slow
def test_a_driver_that_is_killed_takes_its_workers_along(make_recipe: Any, make_spec: Any, tmp_path: Path) -> None:
    specs = [make_spec(0), dataclasses.replace(make_spec(1), steps=10**6)]
    (tmp_path / "order.pickle").write_bytes(pickle.dumps((make_recipe(), specs)))
    command = [sys.executable, "-c", DRIVER, "order.pickle"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "completed\n"
        assert len(processes_in(tmp_path)) > 1
        driver.kill()
    try:
        assert_none_left(lambda: processes_in(tmp_path))
    finally:
        for pid in processes_in(tmp_path):
            os.kill(pid, signal.SIGKILL)


def assert_none_left(workers: Callable[[], list[int]]) -> None:
    deadline = time.monotonic() + 30
    while workers() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert workers() == []


def test_one_worker_means_this_process(make_recipe: Any) -> None:
    recipe = make_recipe()
    lab = recipe.make()
    assert isinstance(choose_engine(recipe, lab, 1), Inline)
    assert isinstance(choose_engine(recipe, lab, 3), Local)


def test_the_number_of_workers_follows_the_cores(make_recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = make_recipe()
    lab = recipe.make()
    for cores, kind in (({0}, Inline), ({0, 1}, Local)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores, raising=False)
        assert type(choose_engine(recipe, lab, None)) is kind


def test_what_cannot_be_sent_is_run_in_this_process(make_recipe: Any, settings: Settings) -> None:
    recipe = make_recipe()
    model = dataclasses.replace(settings.model, losses={"mse": dataclasses.replace(settings.model.losses["mse"])})
    unsendable = dataclasses.replace(model, factory=lambda: None)
    given = dataclasses.replace(recipe, settings=dataclasses.replace(settings, model=unsendable))
    assert isinstance(choose_engine(given, recipe.make(), 4), Inline)


def test_a_recipe_makes_the_lab_that_it_describes(make_recipe: Any) -> None:
    recipe = make_recipe()
    lab = recipe.make()
    assert (lab.run_dir, lab.references, lab.batch_size) == (recipe.run_dir, {"mse": 3.0}, 8)
    assert lab.validation_samples == 15
    assert lab.task.normalizers == recipe.normalizers
    assert "users_engine_task" in sys.modules
