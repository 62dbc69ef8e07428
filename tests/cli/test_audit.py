from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Command = Callable[..., Any]
EPOCHS = 15
ZEROS = {
    "train_loss": [0.0] * EPOCHS,
    "train_top1_acc": [0.0] * EPOCHS,
    "val_loss": [9.5393] * EPOCHS,
    "val_top1_acc": [0.0] * EPOCHS,
}
LOG = """\
TensorBoard is not available
Epoch 1 [Train]: loss=9.1621, top1=0.00%, top5=0.20%
Epoch 1 [Train]: loss=8.7352, top1=0.60%, top5=0.60%
Epoch 1 [Train]: loss=8.2003, top1=2.42%, top5=6.25%
Epoch 1 [Train]: loss=7.5350, top1=3.88%, top5=13.15%
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history of zeros and the log of the same run, which shows learning; they lie in the current folder."""
    (tmp_path / "history.json").write_text(json.dumps(ZEROS), encoding="utf-8")
    (tmp_path / "train.log").write_text(LOG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(out: str) -> dict[str, str]:
    """Message of every finding by its code."""
    heads = [line.split(" ", 2) for line in out.splitlines() if line[:2] == "PF" and line.split(" ", 2)[1][-1] == ":"]
    return {code: message for code, _, message in heads}


def test_both_faults_are_named_and_the_owners_change_is_not(command: Command, files: Path) -> None:
    answer = command("audit", "--history", "history.json", "--log", "train.log", "--classes", "13900")
    assert (answer.code, answer.err) == (0, "")
    messages = found(answer.out)
    assert set(messages) == {"PF501", "PF502", "PF503"}
    assert "reset before" in messages["PF501"]
    assert "val_top1_acc is zero throughout" in messages["PF501"]
    assert "weights that are evaluated never change" in messages["PF502"]
    assert "guessing among 13900 classes" in messages["PF502"]
    assert "from 9.1621 to 7.535" in messages["PF503"]
    for words in ("batch size", "batch_size", "per sample", "average of batches", "number of samples", "divide"):
        assert words not in answer.out
    order = list(messages)
    assert order.index("PF503") > max(order.index("PF501"), order.index("PF502"))  # causes first


def test_the_history_alone_shows_both(command: Command, files: Path) -> None:
    assert set(found(command("audit", "--history", "history.json").out)) == {"PF501", "PF502"}


def test_the_log_alone_is_healthy(command: Command, files: Path) -> None:
    answer = command("audit", "--log", "train.log", "--fail-on", "note")
    assert (answer.code, found(answer.out)) == (0, {})
    assert "log: 4 rows: train_loss, train_top1, train_top5" in answer.out
    assert "not applicable: PF503" in command("audit", "--log", "train.log", "--all").out


@pytest.mark.parametrize(("severity", "code"), [("error", 1), ("warning", 1), ("note", 1)])
def test_the_exit_code_is_asked_for(command: Command, files: Path, severity: str, code: int) -> None:
    assert command("audit", "--history", "history.json", "--fail-on", severity).code == code


def test_findings_are_written_as_json(command: Command, files: Path) -> None:
    command("audit", "--history", "history.json", "--json", "out.json")
    document = json.loads((files / "out.json").read_text(encoding="utf-8"))
    assert {item["code"] for item in document["findings"]} == {"PF501", "PF502"}
    assert document["problems"] == []


def healthy(seed: int) -> tuple[dict[str, list[float]], str]:
    """A history and a log of a run that learns: another speed, rounding, numbering and noise for every seed."""
    generator = np.random.default_rng(seed)
    epochs, classes = int(generator.integers(3, 60)), int(generator.choice([2, 10, 1000]))
    digits, chance = int(generator.choice([2, 3, 4, 16])), 1 / classes
    progress = 1 - generator.uniform(0.6, 0.97) ** np.arange(epochs)
    loss = np.log(classes) * (1 - 0.95 * progress) * np.exp(0.02 * generator.normal(size=epochs))
    gap = loss * generator.uniform(0.9, 1.3) * np.exp(0.03 * generator.normal(size=epochs))
    top = np.clip(np.where(progress < 0.1, 0, 1) * (chance + progress), 0, 1)
    history = {"train_loss": loss, "train_acc": top, "val_loss": gap, "val_acc": np.clip(top - 0.05, 0, 1)}
    saved = {name: [round(float(value), digits) for value in values] for name, values in history.items()}
    first = int(generator.integers(0, 2))
    lines = [
        f"Epoch {epoch + first}: train_loss={lost:.3f} train_acc={100 * right:.2f}% val_loss={held_out:.3f}"
        for epoch, (lost, right, held_out) in enumerate(zip(loss, top, gap, strict=True))
    ]
    return saved, "\n".join(lines)


def test_healthy_runs_are_left_alone(command: Command, files: Path) -> None:
    flagged = {}
    for seed in range(100):
        history, log = healthy(seed)
        Path("history.json").write_text(json.dumps(history), encoding="utf-8")
        Path("train.log").write_text(log, encoding="utf-8")
        if messages := found(command("audit", "--history", "history.json", "--log", "train.log").out):
            flagged[seed] = messages
    assert len(flagged) <= 1, flagged


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], ["nothing to audit", "--history", "--log"]),
        (["--history", "nothing.json"], ["nothing.json cannot be read"]),
        (["--log", "nothing.log"], ["nothing.log cannot be read"]),
        (["--history", "train.log"], ["train.log is no JSON", "a history is"]),
        (["--history", "empty.json"], ["empty.json is no JSON"]),
        (["--log", "empty.json"], ["no loss or metric was found in empty.json", "--pattern"]),
        (["--history", "."], [". cannot be read"]),
        (["--log", "."], [". cannot be read"]),
        (["--log", "train.log", "--pattern", "("], ["no regular expression"]),
        (["--log", "train.log", "--pattern", "loss"], ["no named group"]),
        (["--history", "history.json", "--pattern", "(?P<loss>.)"], ["--pattern", "give --log"]),
        (["--history", "history.json", "--classes", "1"], ["--classes must be at least 2, got 1"]),
        (["--history", "history.json", "--classes", "many"], ["--classes", "many"]),
        (["history.json"], ["unrecognized arguments: history.json"]),
        (["--history", "history.json", "--json", "nowhere/out.json"], ["nowhere/out.json cannot be written"]),
    ],
)
def test_bad_input_is_one_line(command: Command, files: Path, arguments: list[str], names: list[str]) -> None:
    (files / "empty.json").touch()
    answer = command("audit", *arguments)
    assert answer.code == 2
    assert answer.err.startswith("preflight: ")
    assert answer.err.count("\n") == 1
    for name in names:
        assert name in answer.err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,1.0,1.1\n2,0.9,1.0\n3,nan,nan\n4,nan,nan\n", "from epoch 3 on: NaN or infinite in the last 2 of 4"),
        ("1,1.0,1.1\n2,inf,1.0\n3,nan,nan\n4,nan,nan\n", "from epoch 2 on: NaN or infinite in the last 3 of 4"),
        ("1,1.0,1.1\n2,0.9,1.0\n3,NaN,1.0\n4,0.8,0.9\n", "in 1 of 4 epochs of the history, first in epoch 3"),
    ],
)  # fmt: skip
def test_a_nan_that_is_written_in_a_csv_is_one(command: Command, files: Path, rows: str, message: str) -> None:
    Path("metrics.csv").write_text(f"epoch,loss,val_loss\n{rows}", encoding="utf-8")
    assert message in found(command("audit", "--history", "metrics.csv").out)["PF508"]


def test_an_epoch_is_counted_from_1_and_that_is_said(command: Command, files: Path) -> None:
    Path("h.json").write_text('{"loss": [1.0, NaN, NaN], "val_loss": [1.0, null, null]}', encoding="utf-8")
    out = command("audit", "--history", "h.json").out
    assert "history: 3 rows: loss, val_loss (no epochs are told; rows are counted from 1)" in out
    assert "not finite from epoch 2 on" in found(out)["PF508"]
