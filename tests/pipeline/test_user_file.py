from __future__ import annotations

from pathlib import Path

import pytest

from preflight.core.errors import ConfigFileError
from preflight.pipeline.user_file import UserFile

TEXT = """\
# a comment
optimizer:
  learning_rate: 1e-3
  decay: &decay 0.01
schedule:
  epochs: 10
  total: ${schedule.epochs}
loader:
inputs: {height: {kind: standardize, center: [1.0], scale: [2.0]}}
groups:
- {lr: 0.1}
"""


def values(**mapping: str) -> dict[str, object]:
    names = {name.replace("__", "."): key for name, key in mapping.items()}
    return UserFile(Path("train.yaml"), TEXT, names).values


def refusal(**mapping: str) -> str:
    with pytest.raises(ConfigFileError) as error:
        values(**mapping)
    text = str(error.value)
    assert "\n" not in text
    return text


def test_values_are_read_in_the_files_own_units() -> None:
    found = values(
        lr="optimizer.learning_rate",
        weight_decay="optimizer.decay",
        horizon_epochs="schedule.total",
        normalization__height="inputs.height",
    )
    assert found == {
        "lr": 0.001,
        "weight_decay": 0.01,
        "horizon_epochs": 10,
        "normalization.height": {"kind": "standardize", "center": [1.0], "scale": [2.0]},
    }


def test_a_list_item_can_be_mapped() -> None:
    assert values(lr="groups[0].lr") == {"lr": 0.1}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("warmup_steps", "schedule.warmup"),
        ("warmup_epochs", "loader.warmup"),
        ("normalization__angle", "inputs.angle"),
        ("loss_weights__mse", "weights_of_losses"),
        ("weight_decay", "schedule.weight_decay"),
        ("clip_norm", "groups[0].clip"),
        ("shuffle", "loader.shuffle"),
    ],
)
def test_a_key_that_training_can_do_without_may_be_missing(name: str, key: str) -> None:
    assert values(**{name: key}) == {}


@pytest.mark.parametrize("name", ["lr", "batch_size", "horizon_epochs", "dropout"])
def test_any_other_key_must_be_there(name: str) -> None:
    text = refusal(**{name: "schedule.size"})
    assert text == (
        f"model.mapping.{name}=schedule.size: train.yaml has no 'schedule.size': no key 'size' in 'schedule'; "
        "known: epochs, total"
    )


def test_a_misspelt_key_is_refused_with_its_neighbour() -> None:
    assert "did you mean 'learning_rate'?" in refusal(lr="optimizer.learning_rat")
    assert "did you mean 'optimizer'?" in refusal(lr="optimiser.learning_rate")


def test_a_missing_key_that_is_nearly_there_is_a_slip_and_not_an_insertion() -> None:
    text = refusal(weight_decay="optimizer.deccay")
    assert text == (
        "model.mapping.weight_decay=optimizer.deccay: train.yaml has no key 'deccay', did you mean 'decay'? "
        "If not, write 'deccay: null' there"
    )


@pytest.mark.parametrize("slip", ["dceay", "deca", "deccay", "dekay", "Decay"])
def test_every_kind_of_slip_is_seen(slip: str) -> None:
    assert "did you mean 'decay'?" in refusal(weight_decay=f"optimizer.{slip}")


def test_a_key_that_is_mapped_already_cannot_have_been_meant() -> None:
    text = "weights: {video_1: 1.0}\n"
    mapping = {"loss_weights.a": "weights.video_1", "loss_weights.b": "weights.video_2"}
    assert UserFile(Path("train.yaml"), text, mapping).values == {"loss_weights.a": 1.0}
    del mapping["loss_weights.a"]
    with pytest.raises(ConfigFileError, match="did you mean 'video_1'"):
        UserFile(Path("train.yaml"), text, mapping).values  # noqa: B018


def test_a_file_that_does_not_parse_blames_no_mapping(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("a: 1\nb: [1,\nc: }\n", encoding="utf-8")
    with pytest.raises(ConfigFileError) as error:
        UserFile.open(path, {"lr": "a"})
    assert str(error.value).startswith(f"{path} is not valid YAML at line 3, column 4: ")


def test_a_missing_section_is_not_invented() -> None:
    assert "no key 'sched'; did you mean 'schedule'?" in refusal(warmup_steps="sched.warmup")
    assert refusal(warmup_steps="nowhere.warmup").startswith("model.mapping.warmup_steps=nowhere.warmup: ")


def test_a_key_below_a_single_value_is_refused() -> None:
    assert refusal(warmup_steps="schedule.epochs.warmup").startswith("model.mapping.warmup_steps=")


def test_a_path_that_is_no_path_is_refused() -> None:
    assert refusal(lr="optimizer..lr").startswith("model.mapping.lr=optimizer..lr: ")


def test_a_mapping_is_tried_when_the_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(TEXT, encoding="utf-8")
    assert UserFile.open(path, {"lr": "optimizer.learning_rate"}).text == TEXT
    with pytest.raises(ConfigFileError, match=r"model\.mapping\.lr=lr: .* has no 'lr'"):
        UserFile.open(path, {"lr": "lr"})


def test_a_file_that_cannot_be_read_names_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"cannot read .*nothing\.yaml: No such file or directory"):
        UserFile.open(tmp_path / "nothing.yaml", {})
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1,\nb: }\n", encoding="utf-8")
    with pytest.raises(ConfigFileError, match=r"broken\.yaml"):
        UserFile.open(broken, {"lr": "a"})
