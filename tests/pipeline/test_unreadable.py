"""Whole runs on files of which one is truncated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from preflight.core.settings import load
from preflight.pipeline.audience import Nobody
from preflight.pipeline.flight import DONE, fly, prepare
from preflight.telemetry.recording import Run

FILES = """

class Files(torch.utils.data.Dataset):
    def __init__(self, fields, broken):
        self.fields, self.broken = fields, broken

    def __len__(self):
        return len(self.fields["height"])

    def __getitem__(self, number):
        if number in self.broken:
            raise OSError(f"image {number} is truncated")
        return {name: value[number] for name, value in self.fields.items()}


def load_files():
    train, validation = load_data()
    return Files(train, {17}), Files(validation, {0})
"""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("fresh_imports")
def test_a_run_with_a_sample_that_cannot_be_read_finds_it_and_goes_on(
    workers: int, make_project: Callable[..., Path], small_with: Callable[..., list[str]], tmp_path: Path
) -> None:
    name = f"truncated_{workers}"
    project = make_project(tmp_path / "project", name)
    module, model = project / f"{name}.py", project / "conf" / "model" / f"{name}.yaml"
    module.write_text(module.read_text(encoding="utf-8") + FILES, encoding="utf-8")
    model.write_text(model.read_text(encoding="utf-8").replace(".load_data", ".load_files"), encoding="utf-8")
    overrides = small_with(f"run_dir='{project / 'run'}'", f"workers={workers}", "budget.trials=3", "budget.seeds=2")

    flight = fly(prepare(load([f"+model={name}", *overrides], [project / "conf"]), Nobody()))

    assert flight.status == DONE
    assert {item.status for item in Run(flight.run_dir, {}).recordings("today")} <= {"completed"}
    assert flight.diagnosis is not None
    found = {item.rule.code: item.answer for item in flight.diagnosis.findings}["PF311"]
    assert "1 training sample cannot be read, number 17 (OSError: image 17 is truncated)" in found.message
    assert "1 validation sample cannot be read, number 0 (OSError: image 0 is truncated)" in found.message
