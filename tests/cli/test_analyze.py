from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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
