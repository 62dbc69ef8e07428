from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

from preflight.core.errors import ConfigError, ConfigFileError, InputError, TaskError
from preflight.core.model_settings import ModelSettings
from preflight.pipeline.today import AS_CONFIGURED, Today, read_today
from preflight.pipeline.user_file import UserFile
from preflight.tasks.normalizer import InputNormalizer
from preflight.tasks.pytorch import PyTorchTask

ReadText = Callable[..., Today]
MakeTask = Callable[[ModelSettings], PyTorchTask]


def takes_any(**options: Any) -> nn.Module:
    return nn.Linear(1, 1)


FILE = """\
lr: 0.01
batch: 20
epochs: 6   # 48 steps of 20 out of 150 samples
"""
MAPPING = {"lr": "lr", "batch_size": "batch", "horizon_epochs": "epochs"}


def test_the_file_gives_the_settings_and_the_length(read_text: ReadText) -> None:
    today = read_text(FILE, MAPPING)
    assert today.params.lr == 0.01
    assert today.params.batch_size == 20
    assert today.params.warmup_fraction == 0.0
    assert today.params.normalization == {"height": "none", "angle": "none"}
    assert today.params.loss_weights == {"mse": 1.0, "mae": 1.0}
    assert (today.length.horizon_steps, today.length.steps_per_epoch) == (48, 8)


def test_the_file_says_how_often_the_own_scheduler_advances(read_text: ReadText) -> None:
    """The mapped key wins: it is what gets corrected."""
    mapping, own = {**MAPPING, "scheduler_interval": "every"}, {"scheduler": StepLR, "scheduler_interval": "epoch"}
    assert read_text(f"{FILE}every: step\n", mapping, **own).params.scheduler_interval == "step"
    assert read_text(FILE, MAPPING, **own).params.scheduler_interval == "epoch"
    assert read_text(FILE, MAPPING).params.scheduler_interval is None
    with pytest.raises(ConfigError, match=r"scheduler_interval=batch \(every in train.yaml\) .* known: epoch, step"):
        read_text(f"{FILE}every: batch\n", mapping, **own)
    with pytest.raises(ConfigError, match=r"scheduler_interval=step \(every .* there is no model.scheduler"):
        read_text(f"{FILE}every: step\n", mapping)


def test_workers_are_those_of_the_file_else_of_the_tasks_own_loader(read_text: ReadText) -> None:
    """None at all is a count, too: the main process fetches."""
    samples = [{"height": torch.zeros(1), "angle": torch.zeros(2), "target": torch.zeros(1)}] * 150
    own = {"data": (DataLoader(samples, batch_size=20, num_workers=1), samples)}  # type: ignore[arg-type]
    mapping = {**MAPPING, "num_workers": "workers"}
    assert read_text(FILE, MAPPING, **own).params.num_workers == 1
    assert read_text(FILE, mapping, **own).params.num_workers == 1
    assert read_text(f"{FILE}workers: 0\n", mapping, **own).params.num_workers == 0
    assert read_text(f"{FILE}workers: 2\n", mapping).params.num_workers == 2
    assert read_text(FILE, MAPPING).params.num_workers is None
    with pytest.raises(ConfigError, match=r"workers in train.yaml must be a whole number of at least 0, got -1"):
        read_text(f"{FILE}workers: -1\n", mapping)


def test_everything_may_come_from_the_baseline(read_text: ReadText) -> None:
    baseline = {
        "lr": 0.1,
        "batch_size": 30,
        "weight_decay": 0.05,
        "clip_norm": 1,
        "shuffle": False,
        "loss_weights.mae": 0.5,
        "dropout": 0.2,
    }
    today = read_text(None, horizon_steps=100, baseline=baseline)
    params = today.params
    assert (params.lr, params.batch_size, params.weight_decay, params.clip_norm) == (0.1, 30, 0.05, 1.0)
    assert params.shuffle is False
    assert params.loss_weights == {"mse": 1.0, "mae": 0.5}
    assert params.extras == {"dropout": 0.2}
    assert today.length.horizon_steps == 100
    assert today.file is None


@pytest.mark.parametrize(
    ("unit", "value", "steps"), [("steps", 100, 100), ("epochs", 6, 48), ("epochs", 0.5, 4), ("samples", 1000, 50)]
)
def test_the_length_of_the_run_has_units(read_text: ReadText, unit: str, value: float, steps: int) -> None:
    text = f"lr: 0.01\nbatch: 20\nlength: {value}\n"
    mapping = {"lr": "lr", "batch_size": "batch", f"horizon_{unit}": "length"}
    assert read_text(text, mapping).length.horizon_steps == steps


@pytest.mark.parametrize(
    ("unit", "value", "fraction"),
    [("steps", 12, 0.25), ("epochs", 1.5, 0.25), ("samples", 240, 0.25), ("fraction", 0.25, 0.25), ("steps", 0, 0.0)],
)
def test_the_warmup_has_units(read_text: ReadText, unit: str, value: float, fraction: float) -> None:
    today = read_text(f"{FILE}warmup: {value}\n", MAPPING | {f"warmup_{unit}": "warmup"})
    assert today.params.warmup_fraction == pytest.approx(fraction)


def test_no_warmup_is_written_as_null_or_left_out(read_text: ReadText) -> None:
    mapping = MAPPING | {"warmup_steps": "warmup"}
    assert read_text(f"{FILE}warmup: null\n", mapping).params.warmup_fraction == 0.0
    assert read_text(FILE, mapping).params.warmup_fraction == 0.0


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        (
            "warmup: -1",
            "warmup_steps",
            "warmup_steps must not be negative, got warmup_steps=-1 in warmup in train.yaml",
        ),
        ("warmup: soon", "warmup_steps", "warmup in train.yaml must be a finite number, got 'soon'"),
        ("decay: .nan", "weight_decay", "decay in train.yaml must be a finite number, got nan"),
        (
            "clip: 0",
            "clip_norm",
            "clip_norm must be positive, got clip_norm=0 in clip in train.yaml; null means no clipping",
        ),
        ("mix: sometimes", "shuffle", "shuffle must be true or false, got 'sometimes' in mix in train.yaml"),
        ("mae: heavy", "loss_weights.mae", "mae in train.yaml must be a finite number, got 'heavy'"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_place(read_text: ReadText, line: str, name: str, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_text(f"{FILE}{line}\n", MAPPING | {name: line.split(":", maxsplit=1)[0]})
    assert str(error.value) == text


@pytest.mark.parametrize("lr", ["0", "-0.1"])
def test_a_learning_rate_that_is_not_positive_is_refused(read_text: ReadText, lr: str) -> None:
    with pytest.raises(ConfigError, match=f"lr must be positive, got lr={lr} in lr in train.yaml"):
        read_text(FILE.replace("0.01", lr), MAPPING)


def test_a_learning_rate_that_nobody_gives_says_where_to_give_it(read_text: ReadText) -> None:
    with pytest.raises(ConfigError, match=r"today's lr is not known: map it \(model\.mapping\.lr\)"):
        read_text(None, horizon_steps=10)


def test_a_learning_rate_that_is_misspelt_is_named(
    read_text: ReadText, model_settings: Any, make_task: MakeTask
) -> None:
    with pytest.raises(ConfigError, match=r"'lrr' \(model\.baseline\.lrr\) is neither .*; did you mean 'lr'\?"):
        read_text(None, baseline={"lrr": 0.1}, horizon_steps=10)
    model = model_settings(baseline={"lrr": 0.1}, horizon_steps=10, factory=takes_any)
    with pytest.raises(ConfigError, match=r"today's lr is not known: .*; is 'lrr' \(model\.baseline\.lrr\) meant\?$"):
        read_today(model, make_task(model), None)


@pytest.mark.parametrize(("fraction", "is_refused"), [(0.0, False), (1.0, False), (1.01, True), (5, True)])
def test_a_warmup_is_a_share_of_the_run_at_most_all_of_it(
    read_text: ReadText, fraction: float, is_refused: bool
) -> None:
    given = {"lr": 0.1, "warmup_fraction": fraction}
    if not is_refused:
        assert read_text(None, baseline=given, horizon_steps=10).params.warmup_fraction == fraction
        return
    with pytest.raises(ConfigError) as error:
        read_text(None, baseline=given, horizon_steps=10)
    assert str(error.value) == (
        f"warmup_fraction is a share of the run, from 0 to 1, got warmup_fraction={fraction} in "
        "model.baseline.warmup_fraction"
    )


def test_a_length_that_nobody_gives_says_where_to_give_it(read_text: ReadText) -> None:
    with pytest.raises(ConfigError, match=r"length of the long run is not known: give model\.horizon_steps"):
        read_text(None, baseline={"lr": 0.1})


def test_a_length_given_twice_is_refused(read_text: ReadText) -> None:
    with pytest.raises(ConfigError, match=r"given twice: model\.horizon_steps and epochs in train\.yaml"):
        read_text(FILE, MAPPING, horizon_steps=10)


def test_a_share_of_the_run_cannot_be_its_length(read_text: ReadText) -> None:
    with pytest.raises(ConfigError, match="horizon_fraction cannot give the length of a run"):
        read_text("lr: 0.1\nlength: 0.5\n", {"lr": "lr", "horizon_fraction": "length"})


def test_a_batch_larger_than_the_data_is_refused(read_text: ReadText) -> None:
    with pytest.raises(TaskError, match=r"batch_size=151 \(batch in train\.yaml\) is larger than the 150 training"):
        read_text(FILE.replace("20", "151"), MAPPING)


def test_the_batch_size_is_a_loaders_where_nobody_gives_it(
    model_settings: Callable[..., ModelSettings], make_task: MakeTask
) -> None:
    def loader(size: int) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.randn(size, 1), torch.rand(size, 2), torch.randn(size, 1)), batch_size=12)

    names = {"inputs": ["height", "angle"], "targets": ["target"]}
    given = {"data": (loader(48), loader(24)), "baseline": {"lr": 0.1}, "horizon_steps": 10}
    model = model_settings(**names, **given)
    assert read_today(model, make_task(model), None).params.batch_size == 12


def test_file_and_baseline_may_say_the_same(read_text: ReadText) -> None:
    assert read_text(FILE, MAPPING, baseline={"lr": 0.01}).params.lr == 0.01


def test_file_and_baseline_may_not_contradict_each_other(read_text: ReadText) -> None:
    with pytest.raises(ConfigError) as error:
        read_text(FILE, MAPPING, baseline={"lr": 0.02})
    assert str(error.value) == "lr is 0.02 by model.baseline.lr and 0.01 by lr in train.yaml; remove one"


@pytest.mark.parametrize(("stem", "unit"), [("warmup", "steps"), ("horizon", "samples")])
def test_file_and_baseline_may_not_give_a_length_in_two_units(read_text: ReadText, stem: str, unit: str) -> None:
    mapping = MAPPING | {"warmup_epochs": "warmup"}
    with pytest.raises(ConfigError, match=rf"the {stem} is given twice: .*model\.baseline\.{stem}_{unit}"):
        read_text(f"{FILE}warmup: 1\n", mapping, baseline={f"{stem}_{unit}": 500})


def test_the_files_own_normalizer_is_todays(read_text: ReadText, model_settings: Any, make_task: MakeTask) -> None:
    text = f"{FILE}inputs:\n  height: {{kind: robust, center: [3000.0], scale: [500.0]}}\n"
    model = model_settings(config="train.yaml", mapping=MAPPING | {"normalization.height": "inputs.height"})
    task = make_task(model)
    today = read_today(model, task, UserFile(Path("train.yaml"), text, model.mapping))
    assert today.params.normalization == {"height": AS_CONFIGURED, "angle": "none"}
    normalizer = InputNormalizer.from_config(task.normalizers["normalization.height", AS_CONFIGURED])
    assert torch.equal(normalizer(torch.tensor([[3000.0], [3500.0]])), torch.tensor([[0.0], [1.0]]))


@pytest.mark.parametrize("written", ["none", "null", "{kind: none}", ""])
def test_no_normalization_has_many_spellings(read_text: ReadText, written: str) -> None:
    text = f"{FILE}inputs:\n  height: {written}\n"
    assert read_text(text, MAPPING | {"normalization.height": "inputs.height"}).params.normalization["height"] == "none"


def test_a_normalization_without_statistics_is_refused(read_text: ReadText) -> None:
    text = f"{FILE}inputs:\n  height: standardize\n"
    with pytest.raises(ConfigFileError, match=r"normalization\.height='standardize' in inputs\.height .*no statistics"):
        read_text(text, MAPPING | {"normalization.height": "inputs.height"})


@pytest.mark.parametrize(
    "written",
    [
        "{kind: standardise, center: [0.0], scale: [1.0]}",
        "{kind: standardize, scale: [1.0]}",
        "{kind: standardize, center: [x], scale: [1.0]}",
        "{kind: standardize, center: [0.0], scale: [1.0], middle: 3}",
    ],
)
def test_a_normalizer_that_cannot_be_built_is_refused_as_it_is_read(read_text: ReadText, written: str) -> None:
    text = f"{FILE}inputs:\n  height: {written}\n"
    with pytest.raises(InputError, match=r"normalization.height|inputs\.height"):
        read_text(text, MAPPING | {"normalization.height": "inputs.height"})


def test_another_name_is_a_parameter_of_the_factory(read_text: ReadText) -> None:
    today = read_text(f"{FILE}model: {{dropout: 0.25}}\n", MAPPING | {"dropout": "model.dropout"})
    assert today.params.extras == {"dropout": 0.25}


def test_a_name_that_is_neither_setting_nor_parameter_is_refused(read_text: ReadText) -> None:
    with pytest.raises(ConfigError) as error:
        read_text(f"{FILE}model: {{drop: 0.25}}\n", MAPPING | {"droput": "model.drop"})
    assert "'droput' (model.drop in train.yaml) is neither a setting nor a parameter" in str(error.value)
    assert "did you mean 'dropout'?" in str(error.value)


def test_a_normalization_of_no_field_is_refused(read_text: ReadText) -> None:
    with pytest.raises(ConfigError, match=r"'normalization\.hight' \(model\.baseline\.normalization\.hight\)"):
        read_text(FILE, MAPPING, baseline={"normalization.hight": "none"})


def test_masks_and_tokens_have_no_normalization(model_settings: Any, make_task: MakeTask) -> None:
    def split(size: int) -> dict[str, Tensor]:
        return {"height": torch.randn(size, 1), "valid": torch.ones(size, 1).bool(), "target": torch.randn(size, 1)}

    model = model_settings(data=(split(8), split(4)), baseline={"lr": 0.1, "batch_size": 4}, horizon_steps=5)
    assert read_today(model, make_task(model), None).params.normalization == {"height": "none"}


def test_every_value_has_its_source(read_text: ReadText) -> None:
    today = read_text(FILE, MAPPING, baseline={"dropout": 0.1})
    assert today.sources == {
        "lr": "lr in train.yaml",
        "batch_size": "batch in train.yaml",
        "horizon_epochs": "epochs in train.yaml",
        "dropout": "model.baseline.dropout",
    }


def test_statistics_of_another_number_of_features_name_both(read_text: ReadText) -> None:
    text = FILE + "\nangles: {kind: standardize, center: [0.5, 0.5, 0.5], scale: [1.0, 1.0, 1.0]}\n"
    with pytest.raises(ConfigFileError, match=r"normalization\.angle in angles .*of 3 features got values of 2"):
        read_text(text, MAPPING | {"normalization.angle": "angles"})
