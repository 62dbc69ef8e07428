"""A trial that ends its own process: for the command it is one crashed trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.telemetry.recording import Run
from preflight.trials.outcome import COMPLETED, CRASHED, PRUNED

FATAL = """

def fatal(width=16, dropout=0.0):
    if dropout > 0.05:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    return Ballistics(width, dropout)
"""


@pytest.mark.slow
def test_a_setting_that_kills_its_process_does_not_end_the_run(
    preflight: Any, project: Path, module: str, small_with: Callable[..., list[str]]
) -> None:
    source, train = project / f"{module}.py", project / "train.yaml"
    source.write_text(source.read_text(encoding="utf-8") + FATAL, encoding="utf-8")
    train.write_text(train.read_text(encoding="utf-8") + "\ndrop: 0.0\n", encoding="utf-8")
    done = preflight(
        *("--config-dir", "conf", f"+model={module}", "run_dir=run"),
        *(f"model.factory._target_={module}.fatal", "+model.mapping.dropout=drop", "space.extras.dropout=[0.0, 0.5]"),
        *small_with("workers=2", "budget.trials=8", "budget.trial_steps=20"),
        folder=project,
    )
    assert (done.returncode, done.stderr) == (0, "")
    explored = Run.open(project / "run").recordings("explore")
    assert len(explored) == 8
    killed = [item for item in explored if item.params.extras["dropout"] == 0.5]
    assert killed
    for item in explored:
        assert item.status in ({CRASHED} if item in killed else {COMPLETED, PRUNED})
    assert all("was ended by SIGKILL" in item.info["outcome"]["reason"] for item in killed)
