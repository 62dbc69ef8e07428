"""A run that ends without an answer in a file: what is known is shown all the same, with why, and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.core.errors import ConfigError, ConfigFileError
from preflight.telemetry import store

Command = Callable[..., Any]


@pytest.fixture
def run(command: Command, project: Path, module: str, small: tuple[str, ...]) -> Callable[[], Any]:
    """A whole run of the project, which ends with changes to make."""

    def call() -> Any:
        return command("--config-dir", "conf", f"+model={module}", *small, "run_dir=run")

    return call


def test_a_result_without_room_beside_the_original(
    run: Callable[[], Any], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        raise ConfigFileError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr("preflight.pipeline.writing.write_atomic", full)
    answer = run()
    assert answer.code == 2
    assert "changes, each with what it takes off the validation score" in answer.out
    assert "\nChange: " in answer.out
    assert "report:           run/report.html" in answer.out
    assert answer.err == "preflight: not written: cannot write run/config_fixed.yaml: No space left on device\n"
    page = (project / "run" / store.REPORT).read_text(encoding="utf-8")
    assert "The corrected config is not written: cannot write run/config_fixed.yaml: No space left on device." in page
    assert not (project / store.FIXED).exists()


def test_a_run_directory_without_room(run: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    write = store.write_json

    def full(path: Path, value: object) -> None:
        if path.name == store.RECOMMENDATION:
            raise ConfigError(f"{path} cannot be written: No space left on device")
        write(path, value)

    monkeypatch.setattr(store, "write_json", full)
    answer = run()
    assert answer.code == 2
    assert "\nChange: " in answer.out
    assert answer.err.splitlines() == [
        "preflight: the run ended early; see run",
        "preflight: run/recommendation.json cannot be written: No space left on device",
    ]


def test_findings_of_a_run_in_which_nothing_could_be_trained(
    run: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preflight.pipeline.flight._explore", lambda *_: [])
    answer = run()
    assert answer.code == 3
    assert " rules asked: " in answer.out
    assert "no trial ended with a score" in answer.err
