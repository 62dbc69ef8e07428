from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preflight.core.errors import InputError
from preflight.telemetry import console_log
from preflight.telemetry.console_log import ConsoleLog, read_console_log

Read = Callable[..., ConsoleLog]
nan = np.nan


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a console log of this text."""

    def run(text: str | bytes, pattern: str | None = None) -> ConsoleLog:
        path = tmp_path / "train.log"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_console_log(path, pattern)

    return run


LINES: list[tuple[str, dict[str, Any]]] = [
    (
        "Epoch 1 [Train]: loss=9.1621, top1=0.00%, top5=0.20%",
        {"epoch": 1, "train_loss": 9.1621, "train_top1": 0.0, "train_top5": 0.2},
    ),
    ("epoch 3/90 loss: 0.123 acc: 0.9", {"epoch": 3, "loss": 0.123, "acc": 0.9}),
    (
        "Epoch 1:  45%|####5     | 450/1000 [00:10<00:12, 45.00it/s, loss=0.5, v_num=0]",
        {"epoch": 1, "step": 450, "loss": 0.5},
    ),
    (
        "{'loss': 1.2, 'grad_norm': 3.1, 'learning_rate': 5e-05, 'epoch': 0.5}",
        {"epoch": 0.5, "loss": 1.2, "learning_rate": 5e-5},
    ),
    ("{'loss': '1.2', 'learning_rate': '5e-05', 'epoch': '0.5'}", {"epoch": 0.5, "loss": 1.2, "learning_rate": 5e-5}),
    (
        "I20260101 12:00:01 1 dinov2 helpers.py:103] Training  [   40/90000]  eta: 5 days, 9:10:05  lr: 0.0001 "
        "(0.0002)  total_loss: 18.5200 (18.4000)  dino_loss: 11.11 (11.12)  time: 5.2  data: 4.9  max mem: 30900",
        {"step": 40, "lr": 0.0001, "training_total_loss": 18.52, "training_dino_loss": 11.11},
    ),
    (
        "Epoch: [0][ 10/5005]\tTime  0.5 ( 0.6)\tLoss 7.0e+00 (7.1e+00)\tAcc@1   0.00 (  0.10)",
        {"epoch": 0, "step": 10, "loss": 7.0, "acc@1": 0.0},
    ),
    (
        "469/469 [=====] - 2s 4ms/step - loss: 0.3500 - accuracy: 0.9012 - val_loss: 0.2000 - val_accuracy: 0.94",
        {"loss": 0.35, "accuracy": 0.9012, "val_loss": 0.2, "val_accuracy": 0.94},
    ),
    (
        "Epoch 3: Train Loss: 0.512 | Val Loss: 0.622 | Val Acc: 81.20% | Best Val Acc: 82.00%",
        {"epoch": 3, "train_loss": 0.512, "val_loss": 0.622, "val_acc": 81.2},
    ),
    (
        "2026-01-01 10:00:05,123 train.py:55 INFO Validation: loss 0.55, acc 0.81",
        {"validation_loss": 0.55, "validation_acc": 0.81},
    ),
    ("Train: loss 0.2 acc 0.9, Val: loss 0.3", {"train_loss": 0.2, "train_acc": 0.9, "val_loss": 0.3}),
    ("Epoch [3/90], Step [100/600], Loss: 0.1234", {"epoch": 3, "step": 100, "loss": 0.1234}),
    ("\x1b[32mEpoch 2\x1b[0m train_loss=nan val_loss=inf", {"epoch": 2, "train_loss": np.inf, "val_loss": np.inf}),
    ("step 100 | loss 3.21 | lr 6e-4 | tok/s 123456", {"step": 100, "loss": 3.21, "lr": 6e-4}),
    ("iter 100: loss 3.2, time 50ms", {"step": 100, "loss": 3.2}),
    ("Epoch 1/9 | Loss: 0.5 | Val Loss: 0.6", {"epoch": 1, "loss": 0.5, "val_loss": 0.6}),
    ("Epoch 1/9 - Loss: 0.5 - Val Acc: 0.7", {"epoch": 1, "loss": 0.5, "val_acc": 0.7}),
    ("Val Loss: 0.6 | Loss: 0.5", {"val_loss": 0.6, "loss": 0.5}),
    (
        "Train Loss: 0.5, Acc: 0.8 | Val Loss: 0.6, Acc: 0.7",
        {"train_loss": 0.5, "train_acc": 0.8, "val_loss": 0.6, "val_acc": 0.7},
    ),
    ("loss 0.5 acc 0.7 (val)", {"val_loss": 0.5, "val_acc": 0.7}),
    ("Loss: 0.5 | Validation: loss 0.6, acc 0.7", {"loss": 0.5, "validation_loss": 0.6, "validation_acc": 0.7}),
    (
        "step 300 epoch 3 train loss: 1.5 val loss: 1.7 lr: 1.0e-3",
        {"epoch": 3, "step": 300, "train_loss": 1.5, "val_loss": 1.7, "lr": 1e-3},
    ),
    ("Test set: Average loss: 2.1, Accuracy: 999/10000 (10%)", {"test_loss": 2.1, "test_accuracy": 0.0999}),
    ("Loss: 0.5, Val Acc: 83/100", {"loss": 0.5, "val_acc": 0.83}),
    ("val err 12 / 48", {"val_err": 0.25}),
    ("acc 45.2/60 loss 3/10", {"acc": 45.2, "loss": 3}),  # beside the best one, and of something else
    ("train loss 275,959 val loss 1,207,225.5", {"train_loss": 275959, "val_loss": 1207225.5}),
    ("loss=1,acc=0.5", {"loss": 1, "acc": 0.5}),
    ("loss=0,523 acc=1,234", {"loss": 0.523, "acc": 1.234}),
]


@pytest.mark.parametrize(("line", "expected"), LINES, ids=range(len(LINES)))
def test_lines_of_the_field_are_read(read: Read, line: str, expected: dict[str, Any]) -> None:
    (row,) = read(f"starting\n{line}\n").frame.to_dict("records")
    known = {name: value for name, value in row.items() if name in expected or not np.isnan(value)}
    np.testing.assert_equal(known, {"line": 2, **expected})


@pytest.mark.parametrize(
    "line",
    [
        "loaded 14 files, loss function: CrossEntropy", "eps=1e-8 batch_size=16 precision high", "best_val_acc=0.9",
        "no loss yet", "lossless: 3", "time: 12.0 data: 3", "model.loss_weight=0.5", "",
    ],
)  # fmt: skip
def test_what_is_no_metric_is_not_read(read: Read, line: str) -> None:
    with pytest.raises(InputError, match="no loss or metric was found"):
        read(f"{line}\n")


def test_the_epoch_is_carried_to_the_lines_below_it(read: Read) -> None:
    frame = read("Epoch 1/2\n9/9 - loss: 2.0\nEpoch 2/2\n9/9 - loss: 1.0\n").frame
    assert frame["epoch"].tolist() == [1, 2]
    assert frame["loss"].tolist() == [2.0, 1.0]


def test_a_progress_bar_is_a_line_each_time_it_was_drawn(read: Read) -> None:
    frame = read(
        "Epoch 1:  10%| 1/9 [, loss=3.0]\rEpoch 1:  20%| 2/9 [, loss=2.0]\rEpoch 1: 30%| 3/9 [, loss=1.0]"
    ).frame
    assert frame["loss"].tolist() == [3.0, 2.0, 1.0]


def test_commas_are_decimal_where_one_of_the_log_can_be_nothing_else(read: Read) -> None:
    assert read("loss: 2,345\nloss: 1,234\n").frame["loss"].tolist() == [2345, 1234]
    assert read("loss: 2,345\nloss: 1,234\nloss: 0,9\n").frame["loss"].tolist() == [2.345, 1.234, 0.9]


@pytest.mark.parametrize("text", ["1,2,3", "2,75,959", "1,23.5"])
def test_a_number_with_commas_that_cannot_be_read_is_said(read: Read, text: str) -> None:
    found = read(f"loss: 275,959.5\nacc=0.5 loss: {text}\n")
    np.testing.assert_equal(found.frame["loss"].tolist(), [275959.5, nan])
    assert [str(problem) for problem in found.problems] == [f"train.log, line 2: loss='{text}' is no number; left out"]


def test_a_log_that_was_redirected_by_powershell_is_read(read: Read) -> None:
    assert read("epoch 1 loss: 2.5\r\n".encode("utf-16")).frame["loss"].tolist() == [2.5]


def test_a_long_log_is_thinned(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_log, "MAX_ROWS", 64)
    frame = read("".join(f"step {step} loss: {step}.5\n" for step in range(1000))).frame
    assert len(frame) < 64
    assert len(set(np.diff(frame["step"]))) == 1
    assert frame["step"].iloc[-1] > 960


def test_a_pattern_of_ones_own_is_followed(read: Read) -> None:
    text = "ep 1 of Train gets L<2,5>\nep 1 of Val gets L<3.5>\nL<1>\n"
    frame = read(text, r"(?:ep (?P<epoch>\d+) of (?P<split>\w+) gets )?L<(?P<loss>[^>]+)>").frame
    np.testing.assert_equal(frame["val_loss"].tolist(), [3.5, nan])
    np.testing.assert_equal(frame["loss"].tolist(), [nan, 1.0])
    assert frame["epoch"].tolist() == [1, 1]


def test_what_a_pattern_finds_and_is_no_number_is_said(read: Read) -> None:
    found = read("L<2.5>\nL<oops>\n", r"L<(?P<loss>[^>]+)>")
    assert [str(problem) for problem in found.problems] == ["train.log, line 2: loss='oops' is no number; left out"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is no regular expression"),
        ("loss", "has no named group for a metric; an example is"),
        (r"(?P<epoch>\d+)", "has no named group for a metric"),
        (r"accuracy (?P<acc>\d+)", "no loss or metric was found in .*train.log; --pattern .* fits no line"),
    ],
)
def test_a_pattern_that_cannot_work_is_bad_input(read: Read, pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read("epoch 1 loss: 2.5\n", pattern)


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing.log cannot be read: No such file"):
        read_console_log(tmp_path / "nothing.log")
