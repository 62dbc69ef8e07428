from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from preflight.core.errors import ConfigFileError
from preflight.core.settings import load
from preflight.pipeline.diagnosis import look
from preflight.pipeline.flight import prepare
from preflight.pipeline.rehearsal import try_edits
from preflight.pipeline.today import Today

ReadText = Callable[..., Today]

SHARED = "lr: 0.01\nsize: &bs 20\ntrain:\n  bs: *bs\nepochs: 6\ninputs:\n"
MAPPING = {"lr": "lr", "batch_size": "size", "horizon_epochs": "epochs", "normalization.height": "inputs.height"}
FITTED = {("height", "standardize"): {"kind": "standardize", "center": [2978.21], "scale": [465.067]}}
LR = FloatDistribution(1e-4, 1.0, log=True)
SIZE = CategoricalDistribution((20, 16))


def rehearsed(today: Today, **axes: BaseDistribution) -> None:
    assert today.file is not None
    try_edits(today, today.file, {name.replace("__", "."): axis for name, axis in axes.items()}, FITTED)


def refusal(today: Today, **axes: BaseDistribution) -> str:
    with pytest.raises(ConfigFileError) as error:
        rehearsed(today, **axes)
    return str(error.value)


def test_only_the_guilty_key_is_named(read_text: ReadText) -> None:
    today = read_text(SHARED, MAPPING)
    text = refusal(
        today, lr=LR, batch_size=SIZE, normalization__height=CategoricalDistribution(("none", "standardize"))
    )
    assert text.startswith(
        "model.mapping.batch_size=size: cannot edit 'size' in train.yaml safely: 'train.bs' would change"
    )


def test_a_range_is_tried_as_a_list_of_values_is(read_text: ReadText) -> None:
    assert "model.mapping.batch_size=size: " in refusal(read_text(SHARED, MAPPING), batch_size=IntDistribution(8, 64))


def test_a_key_that_is_not_searched_may_be_as_it_is(read_text: ReadText) -> None:
    rehearsed(read_text(SHARED, MAPPING), lr=LR, normalization__height=CategoricalDistribution(("none", "standardize")))


def test_a_value_that_is_todays_needs_no_edit(read_text: ReadText) -> None:
    rehearsed(read_text(SHARED, MAPPING), batch_size=CategoricalDistribution((20,)))


def test_a_key_that_changes_along_with_the_batch_size_is_tried_too(read_text: ReadText) -> None:
    text = "lr: 0.01\nsize: 20\nsteps: &n 48\nlog: *n\n"
    today = read_text(text, {"lr": "lr", "batch_size": "size", "horizon_steps": "steps"})
    assert refusal(today, batch_size=SIZE).startswith("model.mapping.horizon_steps=steps: cannot edit 'steps'")
    rehearsed(today, lr=LR)


def test_a_choice_that_cannot_stand_in_the_file_is_refused(read_text: ReadText) -> None:
    today = read_text("lr: 0.01\nsteps: 9\nwidth: 4\n", {"lr": "lr", "horizon_steps": "steps", "width": "width"})
    text = refusal(today, width=CategoricalDistribution((4, "plain", "${nothing}")))
    assert text.startswith("model.mapping.width=width: cannot write '${nothing}'")


def test_two_searched_settings_cannot_share_a_key(read_text: ReadText) -> None:
    text = "lr: 0.01\nsteps: 9\n"
    today = read_text(text, {"lr": "lr", "horizon_steps": "steps", "weight_decay": "lr"})
    decay = FloatDistribution(1e-4, 0.1, log=True)
    assert refusal(today, lr=LR, weight_decay=decay).startswith("model.mapping.lr and model.mapping.weight_decay are")
    rehearsed(today, lr=LR)


@pytest.mark.parametrize("start", [look, lambda settings: prepare(settings, None)], ids=["inspect", "tune"])
def test_a_mapping_that_cannot_be_edited_is_refused_before_training(
    start: Callable[[Any], object], make_project: Callable[..., Path], tmp_path: Path, fresh_imports: None
) -> None:
    project = make_project(tmp_path / "project", "rehearsed_project")
    path = project / "train.yaml"
    text = path.read_text(encoding="utf-8").replace("lr: 0.3}", "lr: &lr 0.3, peak: *lr}")
    path.write_text(text, encoding="utf-8")
    arguments = ["+model=rehearsed_project", "budget=smoke", "workers=1", f"run_dir={tmp_path / 'run'}"]
    with pytest.raises(ConfigFileError, match=r"model\.mapping\.lr=training\.optim\.lr: cannot edit .*peak' would"):
        start(load(arguments, [project / "conf"]))
    assert not (tmp_path / "run").exists()
    start(load([*arguments, "space.lr=keep"], [project / "conf"]))
