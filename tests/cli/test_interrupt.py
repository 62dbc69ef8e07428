"""Ctrl-C, and SIGTERM as `timeout` and clusters send it: the signal goes to every process of the command at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

from preflight.telemetry import store
from preflight.telemetry.recording import Run

PATIENCE_S = 120
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(console_script: Path, project: Path, module: str) -> Iterator[Start]:
    """Start the command in a session of its own, as a terminal does; none of it outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def run(*overrides: str) -> subprocess.Popen[str]:
        command = [console_script, "--config-dir", "conf", f"+model={module}", "run_dir=run", *overrides]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=project, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        started.append(process)
        return process

    yield run
    for process in started:
        for pid in session(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def session(leader: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # gone meanwhile
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def wait_for(question: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not question():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.05)


def finished(run_dir: Path, stage: str) -> int:
    return len(list(run_dir.glob(f"{store.TRIALS}/{stage}-*/{store.TRIAL}")))


LONG = {
    "explore": ["budget=smoke", "budget.trials=5000", "budget.trial_steps=50", "budget.range_seeds=1"],
    "confirm": ["budget=smoke", "budget.trials=3", "budget.range_seeds=1", "budget.seeds=300"],
}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("stage", ["confirm", pytest.param("explore", marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_finished_trials_and_a_partial_report(
    start: Start, project: Path, small: tuple[str, ...], stage: str, number: signal.Signals
) -> None:
    space = [override for override in small if override.startswith("space.")]
    process = start(*space, *LONG[stage], "workers=2")
    run_dir = project / "run"
    wait_for(lambda: finished(run_dir, stage) >= 3, process)
    workers = session(process.pid)
    assert len(workers) >= 3  # the command, the server of its workers, and these
    os.killpg(process.pid, number)
    os.kill(process.pid, number)  # twice, as `timeout` does; it must not spoil the report
    out, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 128 + number
    assert "Traceback" not in out + err
    assert "stopped; " in err
    assert f"finished trials and a partial report are in {run_dir.relative_to(project)}" in err
    deadline = time.monotonic() + PATIENCE_S
    while session(process.pid):
        assert time.monotonic() < deadline, "a worker outlives the command"
        time.sleep(0.05)

    run = Run.open(run_dir)
    assert run.info["status"] == "interrupted"
    recordings = run.recordings()
    assert len([item for item in recordings if item.purpose == stage]) >= 3
    assert all(item.losses is not None for item in recordings if item.status == "completed")
    study = optuna.load_study(study_name=None, storage=store.study_url(run_dir))
    explored = run.recordings("explore")
    assert len(study.trials) in (len(explored), len(explored) + 1)
    assert all(trial.state.is_finished() for trial in study.trials[:-1])
    report = (run_dir / store.REPORT).read_text(encoding="utf-8")
    assert "interrupted" in report
    assert ("So far, unconfirmed" in out) == ("So far, unconfirmed" in report)
    assert not list(run_dir.glob(".*"))
    assert not list(project.rglob("config_fixed.yaml"))
    assert not list(project.rglob(".*.tmp"))
