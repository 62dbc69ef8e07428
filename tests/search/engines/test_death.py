"""Workers that die while they train: what it costs, and whom."""

from __future__ import annotations

import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from preflight.core.errors import ConfigError
from preflight.core.settings import Settings
from preflight.search.engines import local, patience, worker
from preflight.search.engines.base import Recipe
from preflight.search.engines.inline import Inline
from preflight.search.engines.local import Local
from preflight.search.engines.worker import Worker, WorkerDied
from preflight.telemetry import store
from preflight.trials.lab import TrialSpec, never
from preflight.trials.outcome import COMPLETED, CRASHED, WORST_SCORE, Result


def run(recipe: Recipe, specs: list[TrialSpec], workers: int = 2) -> list[Result]:
    engine = Local(recipe, recipe.make(), workers)
    try:
        return list(engine.run(specs))
    finally:
        engine.close()


def lines(place: Path, fate: str) -> list[str]:
    """Processes that built a model of this fate, one line for every time."""
    return (place / f"{fate}.log").read_text(encoding="utf-8").split()


def trial_of(recipe: Recipe, spec: TrialSpec) -> Any:
    return store.read_json(recipe.run_dir / store.TRIALS / spec.folder_name / store.TRIAL)


@pytest.mark.parametrize(
    ("fate", "how"),
    [
        ("SIGKILL", r"was ended by SIGKILL \(out of memory, or killed by hand\)"),
        ("SIGSEGV", "was ended by SIGSEGV"),
        ("leave", "ended with exit code 3"),
    ],
)
def test_a_trial_that_ends_its_process_has_crashed_and_says_how(
    fate: str, how: str, make_recipe: Any, make_spec: Any, tmp_path: Path
) -> None:
    recipe = make_recipe()
    specs = [make_spec(0, place=str(tmp_path)), make_spec(1, fate, place=str(tmp_path)), make_spec(2)]
    results = run(recipe, specs)
    assert [result.outcome.status for result in results] == [COMPLETED, CRASHED, COMPLETED]
    assert re.fullmatch(f"its process {how}; run again, alone: the same", results[1].outcome.reason)
    assert (results[1].penalized, trial_of(recipe, specs[1])["steps_done"]) == (WORST_SCORE, 0)
    assert len(lines(tmp_path, fate)) == 2
    assert len(lines(tmp_path, "live")) == 1


def test_the_others_go_on_side_by_side(make_recipe: Any, make_spec: Any, tmp_path: Path) -> None:
    fates = ["SIGKILL", "SIGKILL", "meet", "meet", "meet"]
    results = run(make_recipe(), [make_spec(index, fate, place=str(tmp_path)) for index, fate in enumerate(fates)])
    expected = [CRASHED, CRASHED, COMPLETED, COMPLETED, COMPLETED]
    assert [result.outcome.status for result in results] == expected
    assert len(lines(tmp_path, "meet")) == 3


def test_a_trial_that_is_killed_once_is_not_blamed(make_recipe: Any, make_spec: Any, tmp_path: Path) -> None:
    recipe = make_recipe()
    specs = [make_spec(0, "killed once", place=str(tmp_path)), make_spec(1), make_spec(2)]
    killed = run(recipe, specs)
    unharmed = list(Inline(make_recipe().make()).run(specs))  # the log is there now: nobody is killed
    assert len(lines(tmp_path, "killed once")) == 3
    for one, other in zip(killed, unharmed, strict=True):
        assert (one.outcome, one.score, one.losses) == (other.outcome, other.score, other.losses)
    assert trial_of(recipe, specs[0])["outcome"] == {"status": COMPLETED}


def test_a_trial_that_is_run_again_is_alone(make_recipe: Any, make_spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: set[Worker] = set()
    most: list[int] = []

    class Counted(Worker):
        def __init__(self, recipe: Recipe) -> None:
            super().__init__(recipe)
            alive.add(self)
            most.append(len(alive))

        def end(self) -> None:
            super().end()
            alive.discard(self)

    monkeypatch.setattr(local, "Worker", Counted)
    run(make_recipe(), [make_spec(0, "SIGKILL"), make_spec(1), make_spec(2)])
    assert max(most) == 2 and most[-1] == 1
    assert not alive


def test_all_may_die(make_recipe: Any, make_spec: Any) -> None:
    results = run(make_recipe(), [make_spec(index, "SIGSEGV") for index in range(3)])
    assert [result.outcome.status for result in results] == [CRASHED] * 3


def test_where_no_worker_can_start_this_process_trains(
    make_recipe: Any, make_spec: Any, settings: Settings, tmp_path: Path
) -> None:
    recipe = make_recipe()
    lab = recipe.make()
    model = dataclasses.replace(settings.model, data={"_target_": "users_engine_task.no_data"})
    broken = dataclasses.replace(recipe, settings=dataclasses.replace(settings, model=model))
    engine = Local(broken, lab, 2)
    results = list(engine.run([make_spec(index, place=str(tmp_path)) for index in range(3)]))
    assert [result.outcome.status for result in results] == [COMPLETED] * 3
    assert len(set(lines(tmp_path, "live"))) == 1
    engine.close()


def test_a_lab_that_cannot_write_ends_the_run_with_its_own_error(
    make_recipe: Any, make_spec: Any, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(make_recipe(), run_dir=tmp_path / "deleted")
    with pytest.raises(ConfigError, match="deleted") as raised:
        run(recipe, [make_spec(0), make_spec(1)])
    assert "in run" in "".join(raised.value.__notes__)


class UnsendableError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_an_error_that_cannot_travel_is_told_in_words() -> None:
    try:
        raise UnsendableError(1, 2)
    except UnsendableError as error:
        sent = worker._sendable(error)
    assert "1 and 2" in str(pickle.loads(pickle.dumps(sent)))
    assert type(worker._sendable(ConfigError("no room"))) is ConfigError


def test_a_specification_for_a_worker_that_is_gone_is_refused(make_recipe: Any, make_spec: Any) -> None:
    gone = Worker(make_recipe())
    assert gone.answer() is None
    gone._process.kill()
    gone._process.join()
    with pytest.raises(WorkerDied, match="SIGKILL"):
        gone.train(make_spec(0), asking=False)
    with pytest.raises(WorkerDied, match="SIGKILL"):
        gone.reply(False)
    with pytest.raises(WorkerDied, match="SIGKILL"):
        gone.answer()
    gone.end()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_that_hangs_has_crashed_and_the_others_go_on(
    workers: int, make_recipe: Any, make_spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LEAST_S", 1.0)
    recipe = make_recipe()
    specs = [make_spec(0), make_spec(1, "hang", place=str(tmp_path)), make_spec(2)]
    engine = Local(recipe, recipe.make(), workers)
    try:
        first = list(engine.run(specs[:1]))
        results = [*first, *engine.run(specs[1:]), engine.run_one(make_spec(3, "hang", place=str(tmp_path)), never)]
    finally:
        engine.close()
    assert [result.outcome.status for result in results] == [COMPLETED, CRASHED, COMPLETED, CRASHED]
    assert results[1].outcome.reason.startswith("hangs: it did not end within")
    assert len(lines(tmp_path, "hang")) == 2  # it is not tried again: that would take as long
