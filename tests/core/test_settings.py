from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight.core.catalog import models_in, packaged_conf, sweeps_in
from preflight.core.compose import KNOWN
from preflight.core.settings import Settings, Trust, find_config, load

Refusal = Callable[..., str]
Make = Callable[..., Settings]
AddModel = Callable[[Path, str, str], Path]
Tune = Callable[..., str]


def test_defaults(settings_of: Make) -> None:
    found = settings_of()
    assert (found.seed, found.device, found.threads, found.workers) == (0, "auto", 1, None)
    assert (found.run_dir, found.output, found.overwrite) == (None, None, False)
    assert found.model.name == "small"


def test_the_resolved_configuration_is_kept_as_it_was(settings_of: Make, model: dict[str, Any]) -> None:
    found = settings_of(seed=7)
    assert found.source["seed"] == 7
    assert found.source["model"] == model


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": "x"}, "seed must be a whole number of at least 0, got 'x'"),
        ({"seed": 1.5}, "seed must be a whole number of at least 0, got 1.5"),
        ({"threads": 0}, "threads must be a whole number of at least 1, got 0"),
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"workers": "all"}, "workers must be a whole number of at least 1, got 'all'"),
        ({"overwrite": "yes"}, "overwrite must be true or false, got 'yes'"),
        ({"run_dir": 5}, "run_dir must be text, got 5"),
        ({"output": ["a"]}, "output must be text, got ['a']"),
        ({"space": "default"}, "space must be a mapping of keys, got 'default'"),
        ({"budget": 5}, "budget must be a mapping of keys, got 5"),
        ({"model": "digits"}, "model must be a mapping of keys, got 'digits'"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(
    changes: dict[str, Any], text: str, settings_of: Make, refusal: Refusal
) -> None:
    assert refusal(settings_of, **changes) == text


def test_a_group_with_a_slip_of_the_pen_is_not_a_new_key(settings_of: Make, refusal: Refusal) -> None:
    text = refusal(settings_of, spaec={})
    assert text.startswith("unknown key 'spaec'; did you mean 'space'? known: ")
    assert all(name in text for name in KNOWN)


def test_paths_may_hold_the_home_folder_and_variables(settings_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch")
    found = settings_of(run_dir="$SCRATCH/run", output="~/fixed.yaml")
    assert (found.run_dir, found.output) == (Path("/scratch/run"), Path("/home/me/fixed.yaml"))


@pytest.mark.parametrize("name", models_in([packaged_conf()]))
def test_every_packaged_model_loads_and_finds_its_file(name: str) -> None:
    found = load([f"+model={name}"])
    assert found.model.name == name
    file = find_config(found.model, found.trust)
    assert file is not None
    assert file.is_file()


@pytest.mark.parametrize("override", [f"{group}={name}" for group in ("space", "budget") for name in sweeps_in(group)])
def test_every_packaged_sweep_loads(override: str) -> None:
    assert load(["+model=digits", override]).model.name == "digits"


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("+sweep=x", "unknown key 'sweep'; did you mean 'seed'? known: budget, "),
        ("spaec=lr", "unknown key 'spaec'; did you mean 'space'? known: budget, "),
        ("sead=1", "unknown key 'sead'; did you mean 'seed'? known: budget, "),
        ("budget.trails=2", "unknown key 'budget.trails'; did you mean 'trials'? known: candidates, "),
        ("model.hed=x", "unknown key 'model.hed'; did you mean 'head'? known: baseline, "),
        ("space.lr.hihg=1", "unknown key 'space.lr.hihg'; did you mean 'high'? known: choices, "),
        ("space.lr.low=-1", "space.lr.low must be positive on a log scale, got low=-1"),
        ("space.lr={low: 0.1, high: 0.01}", "space.lr.low must be below space.lr.high, got low=0.1 and high=0.01"),
        ("space.extras=dropout", "space.extras must be a mapping of keys, got 'dropout'"),
        ("seed=abc", "seed must be a whole number of at least 0, got 'abc'"),
        ("~budget.trials", "'budget.trials' is missing"),
    ],
)
def test_the_command_line_names_key_value_and_alternatives(override: str, named: str, tune: Tune) -> None:
    assert tune(override).startswith(named)


def test_the_users_folders_are_the_current_one_and_those_beside_the_models(
    add_model: AddModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = add_model(tmp_path / "project" / "conf", "mine", "factory: a.b\ndata: a.c\nlosses: {x: a.d}\n")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    found = load(["+model=mine"], [folder], ["torchvision"])
    assert found.trust == Trust((here, tmp_path / "project"), ("torchvision",))
    assert found.model.folder == folder / "model"


def test_a_folder_is_trusted_once(add_model: AddModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = add_model(tmp_path / "conf", "mine", "factory: a.b\ndata: a.c\nlosses: {x: a.d}\n")
    monkeypatch.chdir(tmp_path)
    assert load(["+model=mine"], [folder]).trust.folders == (tmp_path,)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """The folder of the model's YAML file, and one of the user's."""
    folders = (tmp_path / "model", tmp_path / "mine")
    for folder in folders:
        folder.mkdir()
    return folders


def test_the_file_to_correct_lies_beside_the_model_or_in_the_users_folders(
    places: tuple[Path, Path], settings_of: Make, model: dict[str, Any]
) -> None:
    trust = Trust((places[1],))
    found = settings_of(places[0], trust, model={**model, "config": "train.yaml"})
    for place in reversed(places):
        (place / "train.yaml").touch()
        assert find_config(found.model, trust) == place / "train.yaml"


def test_an_absolute_path_is_taken_as_it_is(
    places: tuple[Path, Path], settings_of: Make, model: dict[str, Any]
) -> None:
    file = places[1] / "train.yaml"
    file.touch()
    found = settings_of(places[0], model={**model, "config": str(file)})
    assert find_config(found.model, found.trust) == file


def test_a_file_that_is_nowhere_names_every_place(
    places: tuple[Path, Path], settings_of: Make, model: dict[str, Any], refusal: Refusal
) -> None:
    (places[0] / "train.yaml").mkdir()
    trust = Trust((places[1],))
    found = settings_of(places[0], trust, model={**model, "config": "train.yaml"})
    text = refusal(find_config, found.model, trust)
    assert text.startswith("model.config=train.yaml is not a file; looked for ")
    assert all(str(place / "train.yaml") in text for place in places)
    assert text.endswith(f"; {places[0] / 'train.yaml'} is a folder")


def test_a_task_without_a_file_has_none_to_correct(settings_of: Make) -> None:
    assert find_config(settings_of().model, Trust((Path.cwd(),))) is None
