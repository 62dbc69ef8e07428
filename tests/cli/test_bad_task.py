"""A target that cannot be used or a task that cannot be trained: one line, exit code 2, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
Contents = Callable[[Path], dict[str, bytes]]
Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("model.factory._target_=MODULE.biuld", ["model.factory", "=MODULE.biuld does not import"]),
        ("model.factory._target_=''", ["model.factory='' is no dotted name", "my_module.build_model"]),
        ("model.losses.time.function=.l1_loss", ["model.losses.time='.l1_loss' is no dotted name of a function"]),
        ("model.factory._target_=mien.build", ["model.factory", "=mien.build", "no module 'mien'", "looked in"]),
        ("model.data._target_=MODULE.load", ["model.data", "=MODULE.load does not import"]),
        ("model.losses.time.function=MODULE.nothing", ["model.losses.time", "=MODULE.nothing does not import"]),
        ("model.metric.function=MODULE.nothing", ["model.metric.function=MODULE.nothing does not import"]),
        ("model.optimizer={_target_: torch.optim.Adamw}", ["model.optimizer", "=torch.optim.Adamw does not import"]),
    ],
)
def test_a_target_that_does_not_import(refused_mine: Refused, override: str, names: list[str]) -> None:
    text = refused_mine(override)
    for name in names:
        assert name in text


@pytest.mark.parametrize(
    ("override", "target", "top"),
    [
        ("model.factory={_target_: os.system, command: 'touch pwned'}", "os.system", "os"),
        ("model.data={_target_: subprocess.run, args: [touch, pwned]}", "subprocess.run", "subprocess"),
        ("model.losses.time.function=builtins.print", "builtins.print", "builtins"),
        ("model.factory={_target_: torch.hub.load, repo_or_dir: x, model: y}", "torch.hub.load", "torch"),
        ("model.data={_target_: MODULE.load_data, samples: {_target_: os.getpid}}", "os.getpid", "os"),
        ("model.optimizer={_target_: pickle.loads}", "pickle.loads", "pickle"),
    ],
)
def test_a_target_outside_of_what_is_trusted(
    refused_mine: Refused, project: Path, override: str, target: str, top: str
) -> None:
    text = refused_mine(override)
    assert f"={target} is outside the allowed prefixes (" in text
    assert "torch.nn." in text
    assert f"--allow {top}" in text
    assert not (project / "pwned").exists()


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        # a model whose output does not fit the loss
        (
            ["model.factory={_target_: MODULE.LosesASample}"],
            ["the loss 'distance' does not fit output distance float32[19, 1]", "target distance float32[20, 1]"],
        ),
        (["model.losses.time.output=tmie"], ["the loss 'time' does not fit", "tmie", "distance", "time"]),
        (["model.losses.time.target=tmie"], ["the loss 'time' does not fit", "tmie"]),
        (
            ["model.losses.distance.function=torch.nn.functional.binary_cross_entropy"],
            ["the loss 'distance' does not fit", "distance float32[20, 1]"],
        ),
        (
            ["model.factory={_target_: MODULE.GivesArrays}"],
            ["the loss 'distance'", "'distance' of the model's output is a numpy array, float32[20, 1]", "a tensor"],
        ),
        # a model that does not take the inputs, or is none
        (["model.factory={_target_: MODULE.OneInput}"], ["the model does not take a batch of height float32[20, 1]"]),
        (["model.factory={_target_: MODULE.no_module}"], ["model.factory", "torch.nn.Module", "got list"]),
        (["model.factory={_target_: MODULE.out_of_order}"], ["model.factory", "ValueError: the flux compensator"]),
        (["model.factory={_target_: MODULE.ends_itself}"], ["ends the program: sys.exit(0)"]),
        (["+model.factory.depth=3"], ["model.factory", "unexpected keyword argument 'depth'"]),
        # data
        (["model.data={_target_: MODULE.nothing_to_train}"], ["the train data is empty"]),
        (["model.data={_target_: MODULE.nothing_to_validate}"], ["the validation data is empty"]),
        (["model.data={_target_: MODULE.only_one}"], ["model.data must give (train, validation), got dict of 4"]),
        (["model.data={_target_: MODULE.uneven}"], ["the train data have different lengths", "'time': 299"]),
        (["+model.data.samples=0"], ["the train data is empty"]),
        (
            ["model.data={_target_: MODULE.narrow_validation}"],
            ["the field 'angles' is float32[2] per sample in the train data and float32[1] in the validation data"],
        ),
        (
            ["model.data={_target_: MODULE.double_validation}"],
            ["the validation fails", "in the train data, the field 'height' is float32[1] per sample, here float64[1]"],
        ),
        # batch sizes
        (["+model.data.samples=20"], ["batch_size=20 (training.loader.batch_size in train.yaml)", "15 training"]),
        (["space.batch_size=[16, 301]"], ["space.batch_size=301 is larger than the 300 training samples"]),
        (["space.batch_size={low: 16, high: 400}"], ["space.batch_size=400 is larger than the 300 training samples"]),
        # losses
        (["model.losses.time.function=MODULE.vector"], ["the loss 'time' must be a scalar, got shape [20]"]),
        (["model.losses.time.function=MODULE.number"], ["the loss 'time' must be a scalar, got float"]),
        (["model.losses.time.function=MODULE.detached"], ["the loss 'time' carries no gradient"]),
        (["model.losses.time.function=MODULE.of_the_target_alone"], ["the loss 'time' carries no gradient"]),
        (["model.losses.time.function=MODULE.load_data"], ["the loss 'time'"]),
        # metric
        (["model.metric.function=MODULE.misfit"], ["the metric does not fit output distance", "'height'"]),
        # optimizer
        (["model.optimizer={_target_: torch.optim.AdamW, betaz: 3}"], ["model.optimizer", "'betaz'"]),
        (["model.optimizer={_target_: MODULE.build}"], ["model.optimizer", "'lr'"]),
        # scheduler
        (
            ["+model.scheduler={_target_: torch.optim.lr_scheduler.CosineAnnealingLR, tmax: 3}"],
            ["model.scheduler=torch.optim.lr_scheduler.CosineAnnealingLR takes no 'tmax'", "did you mean 'T_max'?"],
        ),
        (["+model.scheduler={_target_: torch.optim.lr_scheduler.OneCycleLR}"], ["needs max_lr, and is given nothing"]),
    ],
)  # fmt: skip
def test_a_task_that_cannot_be_trained(refused_mine: Refused, overrides: list[str], names: list[str]) -> None:
    text = refused_mine(*overrides)
    for name in names:
        assert name in text


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_an_output_that_only_fits_by_broadcasting(refused_mine: Refused) -> None:
    text = refused_mine("model.factory={_target_: MODULE.Flat}")
    assert "the loss 'distance' does not fit output distance float32[20]" in text


def test_a_named_output_of_a_model_that_has_but_one(refused_mine: Refused) -> None:
    text = refused_mine("model.factory={_target_: MODULE.OneOutput}")
    assert "the loss 'distance'" in text
    assert "no mapping" in text
