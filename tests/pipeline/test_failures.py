"""Runs that fail, or are ended, keep what they have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from preflight.core.errors import ConfigError, Interrupted, NothingTrainedError
from preflight.core.settings import load
from preflight.pipeline import flight as module
from preflight.pipeline.flight import fly, prepare
from preflight.telemetry import store
from preflight.telemetry.recording import Run


@pytest.fixture
def prepared(
    tmp_path: Path,
    make_project: Callable[..., Path],
    small_with: Callable[..., list[str]],
    fresh_imports: None,
    stages: Any,
) -> Callable[..., Any]:
    def run(*overrides: str) -> Any:
        project = make_project(tmp_path / "project", "prepared_project")
        arguments = ["+model=prepared_project", *small_with(f"run_dir={tmp_path / 'run'}", *overrides)]
        return prepare(load(arguments, [project / "conf"]), stages)

    return run


def test_when_nothing_ends_with_a_score_the_reasons_are_named(
    prepared: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    flight = prepared("budget.trials=2")

    def fail(params: Any, seed: int) -> Iterator[Any]:
        raise RuntimeError("the disk is full")
        yield

    monkeypatch.setattr(flight.task, "batches", fail)
    with pytest.raises(NothingTrainedError, match="RuntimeError: the disk is full"):
        fly(flight)
    info = Run.open(flight.run_dir).info
    assert info["status"] == "failed"
    assert "the disk is full" in info["error"]
    assert (flight.run_dir / store.REPORT).exists()
    crashed = Run.open(flight.run_dir).recordings()
    assert crashed
    assert {item.status for item in crashed} == {"crashed"}
    assert all("RuntimeError" in item.info["outcome"]["traceback"] for item in crashed)


def test_a_crash_of_one_trial_does_not_end_the_study(
    prepared: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, explore_only: Callable[[], None]
) -> None:
    flight = prepared("budget.trials=3", "budget.trial_steps=4")
    job, built = flight.task.job, []

    def sometimes(params: Any) -> Any:
        built.append(params)
        if len(built) == 2:
            raise RuntimeError("out of luck")
        return job(params)

    monkeypatch.setattr(flight.task, "job", sometimes)
    monkeypatch.setattr(module, "write_report", lambda run_dir: run_dir)
    explore_only()
    fly(flight)
    outcomes = [item.status for item in Run.open(flight.run_dir).recordings("explore")]
    assert outcomes == ["completed", "crashed", "completed"]
    study = optuna.load_study(study_name=None, storage=store.study_url(flight.run_dir))
    assert study.trials[1].value == pytest.approx(10.0)  # the worst score, so that the sampler learns
    assert study.trials[1].user_attrs["reason"] == "RuntimeError: out of luck"


def test_ctrl_c_while_exploring_keeps_what_was_finished(
    prepared: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, explore_only: Callable[[], None]
) -> None:
    flight = prepared("budget.trials=5", "budget.trial_steps=4")
    explore_only()
    batches, runs = flight.task.batches, []

    def stop_in_the_third(params: Any, seed: int) -> Any:
        runs.append(seed)
        for index, batch in enumerate(batches(params, seed)):
            if len(runs) == 3 and index == 2:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(flight.task, "batches", stop_in_the_third)
    with pytest.raises(Interrupted, match="2 finished trials and a partial report are in") as error:
        fly(flight)
    assert error.value.exit_code == 130
    run = Run.open(flight.run_dir)
    assert run.info["status"] == "interrupted"
    assert [item.status for item in run.recordings("explore")] == ["completed", "completed", "interrupted"]
    study = optuna.load_study(study_name=None, storage=store.study_url(flight.run_dir))
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "FAIL"]
    assert "interrupted" in (flight.run_dir / store.REPORT).read_text(encoding="utf-8")


def test_a_report_that_cannot_be_drawn_does_not_lose_the_answer(
    prepared: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, stages: Any
) -> None:
    flight = prepared()
    monkeypatch.setattr(module, "_stages", lambda flight: None)

    def fail(_: Path) -> None:
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr(module, "write_report", fail)
    fly(flight)
    assert flight.status == "done"
    assert any("float division by zero" in text for text in stages.said)


def test_a_run_directory_that_holds_a_run_is_refused(prepared: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / store.RUN).write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds a run already; give another run_dir"):
        prepared()
    assert (tmp_path / "run" / store.RUN).read_text(encoding="utf-8") == "{}"
