from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from preflight.cli.analyze import spread
from preflight.rules.registry import RULES

Command = Callable[..., Any]
ROWS = 120


def write(folder: Path, name: str, columns: dict[str, np.ndarray]) -> None:
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def telemetry(tmp_path: Path) -> Path:
    """A directory of another tool, in the format of the field: a head at ten times the learning rate, all is well."""
    generator = np.random.default_rng(0)
    epoch = np.arange(ROWS) // 30
    backbone, embedding, arcface = (
        scale * np.exp(0.4 * generator.normal(size=ROWS)) for scale in (2.0, 5.0, 20.0)
    )  # fmt: skip
    overall = np.sqrt(backbone**2 + embedding**2 + arcface**2)
    folder = tmp_path / "telemetry"
    folder.mkdir()
    norms = {"overall": overall, "backbone": backbone, "embedding": embedding, "arcface": arcface}
    write(folder, "gradient_norms", {"epoch": epoch, **norms})
    names = ("backbone", "embedding", "arcface")
    deltas = {f"{name}_delta": 0.01 * generator.lognormal(0, 0.2, ROWS) for name in names}
    write(folder, "weight_deltas", {"epoch": epoch, **deltas})
    stats = {"weight_mean": 1e-4, "weight_std": 0.05, "weight_norm_mean": 1.0, "weight_norm_std": 0.02}
    head = {name: value * (1 + 0.01 * generator.normal(size=ROWS)) for name, value in stats.items()}
    write(folder, "arcface_stats", {"epoch": epoch, **head})
    write(folder, "learning_rates", {"epoch": epoch, "lr_group0": np.full(ROWS, 0.01), "lr_group1": np.full(ROWS, 0.1)})
    return folder


def explode(folder: Path) -> None:
    path = folder / "gradient_norms.csv"
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    grown = [row.split(",") for row in rows[-40:]]
    late = [",".join([epoch, *(str(float(value) * 1e5) for value in norms)]) for epoch, *norms in grown]
    path.write_text("\n".join([head, *rows[:-40], *late]) + "\n", encoding="utf-8")


def test_a_healthy_directory_has_no_error_and_every_rule_has_an_answer(command: Command, telemetry: Path) -> None:
    answer = command("analyze", str(telemetry), "--all", "--fail-on", "error")
    assert (answer.code, answer.err) == (0, "")
    assert f"{len(RULES)} rules asked: 0 findings" in answer.out
    for rule in RULES:
        assert sum(f"{rule.code} {rule.name}" in line for line in answer.out.splitlines()) == 1
    assert "nothing found: PF101 exploding-gradients" in answer.out


def test_a_fault_is_found_and_the_exit_code_is_asked_for(command: Command, telemetry: Path) -> None:
    explode(telemetry)
    assert command("analyze", str(telemetry)).code == 0
    answer = command("analyze", str(telemetry), "--fail-on", "warning")
    assert answer.code == 1
    assert "PF101 error: the gradient norm grew" in answer.out
    assert command("analyze", str(telemetry), "--fail-on", "note").code == 1


def test_epochs_are_summed_up(command: Command, telemetry: Path, tmp_path: Path) -> None:
    answer = command("analyze", str(telemetry), "--json", str(tmp_path / "out.json"))
    lines = answer.out.splitlines()
    start = lines.index("by epoch")
    assert lines[start + 1].split()[:3] == ["epoch", "norm", "mean"]
    assert [line.split()[0] for line in lines[start + 2 : start + 6]] == ["0", "1", "2", "3"]
    document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    norms = np.loadtxt(telemetry / "gradient_norms.csv", delimiter=",", skiprows=1)
    second = norms[norms[:, 0] == 1, 1]
    assert document["epochs"][1]["norm_mean"] == pytest.approx(second.mean())
    assert document["epochs"][1]["norm_std"] == pytest.approx(second.std())
    assert {item["code"] for item in (*document["clean"], *document["not_applicable"])} == {rule.code for rule in RULES}


def test_a_broken_row_is_named_and_the_rest_is_judged(command: Command, telemetry: Path, tmp_path: Path) -> None:
    explode(telemetry)
    path = telemetry / "gradient_norms.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[10] = "0,1.5"
    path.write_text("\n".join(lines), encoding="utf-8")
    answer = command("analyze", str(telemetry), "--json", str(tmp_path / "out.json"))
    assert "not read: gradient_norms.csv, line 11: 2 cells where the header has 5; left out" in answer.out
    assert "PF101 error" in answer.out
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["problems"]


def test_figures_are_drawn_of_what_there_is(command: Command, telemetry: Path, tmp_path: Path) -> None:
    answer = command("analyze", str(telemetry), "--figures", str(tmp_path / "a" / "figures"))
    drawn = {path.stem for path in (tmp_path / "a" / "figures").iterdir()}
    assert drawn == {
        "gradient_norm", "component_norms", "norm_ratio", "norm_histogram", "weight_deltas", "arcface_stats",
        "learning_rates", "epochs",
    }  # fmt: skip
    assert answer.out.count("figure: ") == len(drawn)
    (telemetry / "gradient_norms.csv").unlink()
    command("analyze", str(telemetry), "--figures", str(tmp_path / "b"))
    assert {path.stem for path in (tmp_path / "b").iterdir()} == drawn - {
        "gradient_norm", "component_norms", "norm_ratio", "norm_histogram",
    }  # fmt: skip


def test_missing_files_are_named_as_not_applicable(command: Command, telemetry: Path) -> None:
    (telemetry / "gradient_norms.csv").unlink()
    answer = command("analyze", str(telemetry), "--all")
    assert "not applicable: PF101 exploding-gradients: there is no gradient_norms.csv" in answer.out


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["analyze"], ["DIR", "preflight --help"]),
        (["analyze", "nothing"], ["nothing is not a folder"]),
        (["analyze", "empty"], ["empty has no telemetry", "gradient_norms.csv"]),
        (["analyze", "telemetry", "--fail-on", "disaster"], ["disaster", "error", "note"]),
        (["analyze", "telemetry", "--figures", "telemetry/learning_rates.csv"], ["--figures", "cannot be written"]),
        (["analyze", "telemetry", "--json", "nowhere/out.json"], ["nowhere/out.json cannot be written"]),
    ],
)
def test_bad_input_is_one_line(
    command: Command, telemetry: Path, arguments: list[str], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(telemetry.parent)
    (telemetry.parent / "empty").mkdir()
    answer = command(*arguments)
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    for name in names:
        assert name in answer.err


@pytest.mark.parametrize(("count", "most"), [(1, 40), (40, 40), (41, 40), (100_000, 40)])
def test_of_a_long_run_rows_are_spread(count: int, most: int) -> None:
    rows = spread(count, most)
    assert len(set(rows)) == len(rows) == min(count, most)
    assert (rows[0], rows[-1]) == (0, count - 1)
    assert np.ptp(np.diff(rows)) <= 1 if len(rows) > 1 else True


def change(folder: Path, table: str, make: Callable[[np.ndarray], np.ndarray], *columns: str) -> None:
    """Change columns of a table, each by its rows."""
    frame = pd.read_csv(folder / f"{table}.csv")
    for name in columns:
        frame[name] = make(frame[name].to_numpy(dtype=float))
    frame.to_csv(folder / f"{table}.csv", index=False)


NORMS, DELTAS = ("overall", "backbone", "embedding", "arcface"), ("backbone_delta", "embedding_delta", "arcface_delta")
DECAY, TURN = np.exp(-0.4 * np.arange(ROWS)), np.where(np.arange(ROWS) % 2, 10, 0.1)


@pytest.mark.parametrize(
    ("table", "columns", "make", "finding"),
    [
        (
            "gradient_norms",
            NORMS,
            lambda values: 0 * values,
            "PF103 error: the gradient of 'backbone' is zero",
        ),
        ("gradient_norms", NORMS[1:2], lambda values: 0 * values, "PF103 warning: the gradient of 'backbone' is zero"),
        ("gradient_norms", NORMS, lambda values: values * DECAY, "PF102 warning: the gradient of "),
        ("weight_deltas", DELTAS[:1], lambda values: 0 * values, "PF104 warning: 'backbone' has a gradient and does"),
        ("weight_deltas", DELTAS[:1], lambda values: values / 1e5, "PF106 warning: "),
        ("weight_deltas", DELTAS, lambda values: values * TURN, "PF201 warning: the weight changes of "),
        ("weight_deltas", DELTAS, lambda values: values / 1e10, "PF202 error: over all 120 rows the weights hardly "),
        ("learning_rates", ("lr_group0", "lr_group1"), lambda values: 0 * values, "PF202 error: the learning rate of "),
        ("arcface_stats", ("weight_mean",), lambda values: values + 1, "PF701 error: the prototypes of 'arcface'"),
    ],
)
def test_what_the_columns_of_components_show_is_found(
    command: Command,
    telemetry: Path,
    table: str,
    columns: tuple[str, ...],
    make: Callable[[np.ndarray], np.ndarray],
    finding: str,
) -> None:
    change(telemetry, table, make, *columns)
    answer = command("analyze", str(telemetry))
    assert " rules asked: 1 finding," in answer.out
    assert finding in answer.out


@pytest.mark.parametrize("name", ["gradient_norms", "weight_deltas", "learning_rates", "arcface_stats"])
def test_a_file_that_is_not_there_is_named(command: Command, telemetry: Path, tmp_path: Path, name: str) -> None:
    (telemetry / f"{name}.csv").unlink()
    answer = command("analyze", str(telemetry), "--json", str(tmp_path / "out.json"))
    file = f"{name}.csv".replace("arcface", "<head>")
    assert f"not applicable: {file}: not there; " in answer.out
    assert any(file in item for item in json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["absent"])


def test_absolute_limits_are_asked_for(command: Command, telemetry: Path) -> None:
    assert "0 findings" in command("analyze", str(telemetry)).out
    assert "PF101 warning: the mean" in command("analyze", str(telemetry), "--norm-above", "1").out
    assert "PF102 warning: the mean" in command("analyze", str(telemetry), "--norm-below", "100").out


@pytest.mark.parametrize("text", ["[]", "{}", '{"findings": [3]}', "{"])
def test_findings_that_are_none_are_named_and_the_rest_is_judged(command: Command, telemetry: Path, text: str) -> None:
    (telemetry / "findings.json").write_text(text, encoding="utf-8")
    answer = command("analyze", str(telemetry))
    assert answer.code == 0
    assert "not read: findings.json: " in answer.out


def test_the_package_runs_as_a_module(telemetry: Path, command: Command) -> None:
    program = [sys.executable, "-m", "preflight", "analyze", str(telemetry), "--fail-on", "note"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 findings" in done.stdout
