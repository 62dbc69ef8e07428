"""A run that starts from a checkpoint: in this process and in workers, and as `verify` repeats it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from preflight.core.errors import TaskError
from preflight.core.settings import load
from preflight.pipeline.audience import Nobody
from preflight.pipeline.flight import fly, prepare
from preflight.pipeline.verification import verify_config
from preflight.search.engines.base import Recipe
from preflight.telemetry import store

MODULE = "mine_from_a_checkpoint"


@pytest.fixture
def project(
    tmp_path: Path, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, fresh_imports: None
) -> Path:
    """The project with a checkpoint, and another one that a training may put into its place."""
    folder = make_project(tmp_path / "project", MODULE)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for seed, name in enumerate(("ck.pt", "other.pt")):
        torch.manual_seed(seed)
        torch.save({"model": importlib.import_module(MODULE).build(24).state_dict()}, folder / name)
    return folder


def test_a_run_records_its_checkpoint_and_nothing_is_repeated_from_another_one(
    project: Path, small_with: Callable[..., list[str]]
) -> None:
    overrides = [f"+model={MODULE}", "model.checkpoint=ck.pt", f"run_dir={project / 'run'}"]
    settings = load([*overrides, *small_with("workers=1")], [project / "conf"])
    flight = fly(prepare(settings, Nobody()))
    known = store.read_json(flight.run_dir / store.INSPECTION)["checkpoint"]
    assert known["path"] == str(project / "ck.pt")
    assert flight.task.checkpoint is not None
    assert known["sha256"] == flight.task.checkpoint.sha256
    assert store.read_json(flight.run_dir / store.FACTS)["start"] == "checkpoint"
    assert known["path"] in (flight.run_dir / store.REPORT).read_text(encoding="utf-8")

    verified = verify_config(project / store.FIXED, flight.run_dir, (), Nobody())
    assert verified.sentence.startswith("reproduced exactly")
    recipe = Recipe(settings, "cpu", {}, {}, flight.run_dir, 20)
    job = recipe.make().task.job(flight.today)
    assert torch.equal(job.parameters[0][1], torch.load(project / "ck.pt")["model"][job.parameters[0][0]])

    (project / "other.pt").replace(project / "ck.pt")
    with pytest.raises(TaskError, match=r"ck\.pt has changed since the run began with it"):
        verify_config(project / store.FIXED, flight.run_dir, (), Nobody())
    with pytest.raises(TaskError, match=r"ck\.pt has changed since the run began with it"):
        recipe.make()
