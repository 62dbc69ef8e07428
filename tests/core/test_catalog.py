from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from preflight.core.catalog import models_in, packaged_conf, sweeps_in

AddModel = Callable[[Path, str, str], Path]


def test_the_packaged_models_are_there_and_their_training_files_are_no_models() -> None:
    models = models_in([packaged_conf()])
    assert {"digits", "digits_healthy", "icecube"} <= set(models)
    assert not [name for name in models if name.startswith("train/")]
    assert models["digits"] == packaged_conf() / "model"


def test_models_of_a_folder_are_named_by_their_path(add_model: AddModel, tmp_path: Path) -> None:
    add_model(tmp_path, "mine", "")
    add_model(tmp_path, "vision/small", "")
    add_model(tmp_path, "train/mine", "")
    assert models_in([tmp_path]) == {"mine": tmp_path / "model", "vision/small": tmp_path / "model" / "vision"}


def test_the_earlier_of_two_folders_wins(add_model: AddModel, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        add_model(folder, "mine", "")
    add_model(second, "other", "")
    assert models_in([first, second]) == {"mine": first / "model", "other": second / "model"}


def test_a_folder_without_models_has_none(tmp_path: Path) -> None:
    assert models_in([tmp_path, tmp_path / "missing"]) == {}


@pytest.mark.parametrize(("group", "some"), [("space", "default"), ("budget", "quick")])
def test_every_option_of_a_sweep_group_is_explained_by_its_first_line(group: str, some: str) -> None:
    options = sweeps_in(group)
    assert some in options
    assert list(options) == sorted(options)
    assert [name for name, comment in options.items() if not comment] == []
    assert not any(comment.startswith("#") for comment in options.values())


def test_a_group_that_is_not_there_has_no_options() -> None:
    assert sweeps_in("nothing") == {}
