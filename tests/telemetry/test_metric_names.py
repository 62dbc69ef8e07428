from __future__ import annotations

import pytest

from preflight.telemetry import metric_names
from preflight.telemetry.log_line import metrics_in
from preflight.telemetry.metric_names import COST, GAIN, LOSS, TRAIN, VALIDATION, is_metric, meaning, with_split


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("loss", "train_loss", "train_loss_epoch", "Train Loss", "loss/train", "total_loss"), (TRAIN, LOSS, "")),
        (("val_loss", "eval_loss", "Validation loss", "loss/val", "test_loss", "valLoss"), (VALIDATION, LOSS, "")),
        (("train_ce_loss", "train/cross_entropy", "training_cross_entropy_loss"), (TRAIN, LOSS, "ce")),
        (("val_dice_loss",), (VALIDATION, LOSS, "dice")),
        (("acc", "accuracy", "train_top1_acc", "top-1", "Acc@1", "prec1", "AccTop1", "acc_1"), (TRAIN, GAIN, "top1")),
        (("val_acc@5", "val_top5_acc", "validation_accuracy_top-5", "top5/val"), (VALIDATION, GAIN, "top5")),
        (("eval_f1",), (VALIDATION, GAIN, "f1")),
        (("val_perplexity", "val_ppl"), (VALIDATION, COST, "ppl")),
        (("val_top1_err",), (VALIDATION, COST, "top1_error")),
    ],
)
def test_a_series_is_known_by_its_name(names: tuple[str, ...], expected: tuple[str, str, str]) -> None:
    for name in names:
        found = meaning(name)
        assert found is not None, name
        assert (found.split, found.kind, found.key) == expected, name


@pytest.mark.parametrize(
    "name",
    [
        "epoch", "lr", "learning_rate", "loss_scale", "loss_weight", "train_runtime", "eval_samples_per_second",
        "best_val_acc", "step", "grad_norm", "", "val_metric",
    ],
)  # fmt: skip
def test_what_is_no_loss_and_no_metric_is_left_alone(name: str) -> None:
    assert meaning(name) is None


def test_a_learning_rate_is_worth_reading_in_a_log() -> None:
    assert is_metric("learning_rate")
    assert is_metric("lr")
    assert not is_metric("time")


@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [
        ("loss", "Train", "train_loss"),
        ("Acc@1", "val", "val_acc@1"),
        ("val_loss", "train", "val_loss"),
        ("Val Loss", "train", "val_loss"),
        ("loss", "", "loss"),
        ("lr", "val", "lr"),
        ("learning_rate", "val", "learning_rate"),
    ],
)
def test_the_split_stands_in_front_once(name: str, split: str, expected: str) -> None:
    assert with_split(name, split) == expected


def test_a_name_that_comes_in_every_line_of_a_log_is_taken_apart_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_apart: list[str] = []
    words = metric_names._words

    def counted(name: str) -> list[str]:
        taken_apart.append(name)
        return words(name)

    monkeypatch.setattr(metric_names, "_words", counted)
    once = metrics_in("lines_0 loss: 0.500 - lr: 0.001")
    first = len(taken_apart)
    for row in range(1, 100):
        assert [item.name for item in metrics_in(f"lines_0 loss: 0.{row:03} - lr: 0.001")] == [i.name for i in once]
    assert len(taken_apart) == first
