from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from preflight.core.errors import InputError
from preflight.pipeline.provenance import find_run
from preflight.telemetry import store


def make_run(folder: Path, config: Path, *, text: str | None = None, started: str = "2026-01-01") -> Path:
    """A run directory that wrote ``config``, with ``text`` or with what it holds now."""
    folder.mkdir(parents=True)
    (folder / store.FIXED).write_text(config.read_text(encoding="utf-8") if text is None else text, encoding="utf-8")
    info = {"started": started, "config_fixed": [str(folder / store.FIXED), str(config)]}
    (folder / store.RUN).write_text(json.dumps(info), encoding="utf-8")
    return folder


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corrected config in a project, where nobody is at the moment."""
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = tmp_path / "project" / "it's fixed.yaml"
    path.write_text("lr: 0.1\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("place", ["runs/one", "run", "../elsewhere/runs/one", "../elsewhere/run"])
def test_a_run_is_found_beside_the_file_and_in_the_current_folder(config: Path, place: str) -> None:
    run = make_run((config.parent / place).resolve(), config)
    assert find_run(config).folder.samefile(run)


def test_the_file_may_be_named_from_its_own_folder(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(config.parent / "runs" / "one", config)
    monkeypatch.chdir(config.parent)
    for path in (Path(config.name), Path("..") / "project" / config.name):
        assert find_run(path).folder.samefile(run)


def test_a_file_in_a_run_directory_belongs_to_that_run(config: Path) -> None:
    run = make_run(config.parent / "run", config)
    assert find_run(run / store.FIXED).folder.samefile(run)


def test_a_copy_under_another_name_is_known_by_its_text(config: Path) -> None:
    run = make_run(config.parent / "runs" / "one", config)
    copy = config.rename(config.with_name("train_v2.yaml"))
    assert find_run(copy).folder.samefile(run)


def test_of_runs_that_wrote_the_same_file_the_one_with_its_text_is_meant(config: Path) -> None:
    runs = config.parent / "runs"
    one = make_run(runs / "b", config, started="2026-01-01")
    make_run(runs / "c", config, text="lr: 0.2\n", started="2026-01-03")
    assert find_run(config).folder.samefile(one)
    latest = make_run(runs / "a", config, started="2026-01-02")
    assert find_run(config).folder.samefile(latest)


def test_an_edited_file_is_known_by_its_path(config: Path) -> None:
    run = make_run(config.parent / "runs" / "one", config)
    config.write_text("lr: 0.3\n", encoding="utf-8")
    assert find_run(config).folder.samefile(run)


def test_what_is_no_run_is_passed_over(config: Path) -> None:
    run = make_run(config.parent / "runs" / "one", config)
    for name, text in (("zero", "no json"), ("two", "[]"), ("three", '{"status": "running"}')):
        (config.parent / "runs" / name).mkdir()
        (config.parent / "runs" / name / store.RUN).write_text(text, encoding="utf-8")
    assert find_run(config).folder.samefile(run)


def test_a_file_of_an_unknown_run_says_what_to_type(config: Path) -> None:
    with pytest.raises(InputError) as error:
        find_run(config)
    text = str(error.value)
    assert text.startswith(f"no run that wrote {config} is in {Path.cwd() / 'runs'} or {config.parent / 'runs'}; ")
    command = shlex.split(text.partition("preflight verify ")[2])
    assert command == [str(config), "--run", "RUN_DIR"]
