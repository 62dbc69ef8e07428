from __future__ import annotations

import io
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from preflight.advise.evidence import Effect
from preflight.advise.ladder import Rung
from preflight.advise.recommendation import CANNOT_TELL, CHANGE, KEEP, Change, Measured, Recommendation
from preflight.advise.throughput import Speed
from preflight.cli.main import main
from preflight.cli.tables import flat, gain, show_inspection, show_result, show_stopped
from preflight.core.params import Params
from preflight.telemetry import store
from preflight.telemetry.recording import Run

TODAY = Params(
    lr=0.03,
    batch_size=32,
    loss_weights={"ce": 1.0},
    normalization={"input": "none"},
    extras={"dropout": 0.0},
)
BETTER = TODAY.with_values({"lr": 0.003, "normalization.input": "standardize"})
GAIN = Effect(0.9, 0.8, 0.95, 5)
CHANGES = (
    Change("lr", 0.03, 0.003, Effect(0.1, -0.2, 0.3, 5), Effect(0.4, 0.3, 0.5, 5)),
    Change("normalization.input", "none", "standardize", Effect(0.5, 0.4, 0.6, 5), Effect(0.7, 0.6, 0.8, 5)),
)
BEFORE = Measured({0: 0.5, 1: 0.9, 2: 0.7}, {0: 0.5, 1: 0.4, 2: 0.6})
AFTER = Measured({0: 0.05, 1: 0.03, 2: 0.04}, {0: 0.95, 1: 0.97, 2: 0.96})
ANSWER = Recommendation(CHANGE, "on fresh seeds it takes 90% off", TODAY, BETTER, CHANGES, GAIN, BEFORE, AFTER, 600)
INSPECTION = {
    "today": asdict(TODAY),
    "length": {"horizon_steps": 615, "batch_size": 32, "train_size": 1297},
    "fields": [
        {
            "name": "input",
            "shape": [1, 8, 8],
            "dtype": "float32",
            "features": [
                {
                    "name": "input",
                    "kind": "image",
                    "minimum": 0.0,
                    "maximum": 255.0,
                    "mean": 77.9123,
                    "std": 95.9,
                    "nonfinite": 2,
                }
            ],
            "options": ["none", "standardize"],
        },
        {"name": "[valid]", "shape": [24], "dtype": "bool", "features": [], "options": ["none"]},
    ],
    "constants": {"ce": 2.3026, "unknown": None},
    "initial": {"ce": 24.1, "unknown": 3.0},
    "references": {"ce": 2.3026, "unknown": 3.0},
}


def rung(lr: float, verdict: str, normalization: str, **values: Any) -> Rung:
    default = Rung(lr, normalization, 3, 5.4321, 9.87, True, 0, "", 0.5, verdict)
    return replace(default, **values)


RAW = [
    rung(1e-3, "best", "inputs as they are"),
    rung(0.03, "unsteady", "inputs as they are", worst_max_norm=1234.5, decreasing=False),
    rung(
        1.0, "explodes", "inputs as they are", median_max_norm=math.inf, exploded=3, exploded_at="backbone.[1].weight"
    ),
]
FITTED = [rung(0.01, "best", "input: standardize", final_loss=0.1)]


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Run]:
    """A run directory of an answer; nothing was trained."""

    def write(answer: Recommendation | None, **values: Any) -> Run:
        info = {
            "preflight": "0.1.0",
            "torch": "2.13.0",
            "python": "3.11.7",
            "command": ["+model=toy"],
            "model": "toy",
            "device": "cpu",
            "seed": 0,
            "status": "done",
            "metric": {"name": "accuracy", "function": "f", "goal": "maximize"},
            "ladders": {
                "inputs as they are": [asdict(item) for item in RAW],
                "input: standardize": [asdict(item) for item in FITTED],
                "input: minmax": [asdict(item) for item in FITTED],
            },
            "config_fixed": [str(tmp_path / "config_fixed.yaml")],
            "unmapped": ["warmup_fraction"],
            "normalizers": {},
            "budget": {"trials": 20, "range_steps": 40},
        }
        store.write_json(tmp_path / store.RUN, info | values)
        store.write_json(tmp_path / store.INSPECTION, INSPECTION)
        if answer is not None:
            store.write_json(tmp_path / store.RECOMMENDATION, answer.as_dict())
        return Run.open(tmp_path)

    return write


def shown(show: Callable[[Console], None]) -> str:
    """On a terminal of 120 columns, without its colours and bold type."""
    stream = io.StringIO()
    show(Console(file=stream, width=120, highlight=False, force_terminal=True, color_system=None))
    return stream.getvalue()


def result(run: Run) -> str:
    return shown(lambda console: show_result(console, run))


def line(text: str, *parts: str) -> str:
    found = [item for item in text.splitlines() if all(part in item for part in parts)]
    assert len(found) == 1, (parts, found, text)
    return found[0]


def test_a_change_is_shown_with_its_gains(write_run: Callable[..., Run], tmp_path: Path) -> None:
    text = result(write_run(ANSWER))
    assert "Change: on fresh seeds it takes 90% off" in text
    lr = line(text, "│ lr ")
    for part in ("0.03", "0.003", "10% (-20% to 30%)", "40% (30% to 50%)"):
        assert part in lr
    normalization = line(text, "│ normalization.input ")
    for part in ("none", "standardize", "50% (40% to 60%)", "70% (60% to 80%)"):
        assert part in normalization
    assert line(text, "today: ").split("today:")[1].strip() == "score 0.68 (worst seed 0.9), accuracy 0.5"
    assert line(text, "recommended:").split(":")[1].strip() == "score 0.0391 (worst seed 0.05), accuracy 0.96"
    assert line(text, "score: ").strip() == "score: geometric mean of 3 seeds; accuracy: mean"


def test_files_are_named_and_what_the_user_has_to_do(write_run: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "report.html").touch()
    text = result(write_run(ANSWER))
    assert f"{tmp_path}/config_fixed.yaml" in line(text, "corrected config:")
    assert "set it yourself" in line(text, "has no key in your file")
    assert line(text, "  warmup_fraction:").strip() == "warmup_fraction: 0.0"
    assert f"{tmp_path}/report.html" in line(text, "report:")
    assert f"optuna-dashboard sqlite:///{tmp_path}/study.db" in line(text, "trials:")


def test_a_normalization_to_set_oneself_comes_with_its_statistics(write_run: Callable[..., Run]) -> None:
    fitted = {"kind": "standardize", "axis": 1, "center": [77.9], "scale": [95.9]}
    text = result(
        write_run(ANSWER, unmapped=["normalization.input"], normalizers={"normalization.input: standardize": fitted})
    )
    assert (
        line(text, "  normalization.input:").strip()
        == "normalization.input: {kind: standardize, axis: 1, center: [77.9], scale: [95.9]}"
    )


def test_todays_settings_that_stay_are_shown_without_changes(write_run: Callable[..., Run]) -> None:
    kept = replace(ANSWER, decision=KEEP, reason="nothing is better", recommended=TODAY, changes=(), after=None)
    text = result(write_run(kept, config_fixed=[], unmapped=[]))
    assert "Keep your config: nothing is better" in text
    for part in ("recommended", "corrected config", "no key in your file", "input: standardize"):
        assert part not in text


def test_what_cannot_be_told_is_said(write_run: Callable[..., Run]) -> None:
    unclear = replace(ANSWER, decision=CANNOT_TELL, reason="no better than a constant", recommended=TODAY, changes=())
    text = result(write_run(unclear, config_fixed=[], unmapped=[]))
    assert "Cannot tell: no better than a constant" in text
    assert "│ lr " not in text
    assert "no key in your file" not in text


def test_a_run_that_was_stopped_shows_what_there_is(write_run: Callable[..., Run]) -> None:
    text = result(write_run(None, config_fixed=[], unmapped=[], status="interrupted"))
    assert "learning rates with inputs as they are" in text
    assert "trials:" in text
    assert "report:" not in text  # it could not be written
    for part in ("Change", "Keep", "Cannot tell"):
        assert part not in text


def test_a_run_that_is_stopped_after_its_answer_shows_that(write_run: Callable[..., Run]) -> None:
    stopped = write_run(ANSWER, status="interrupted")
    assert "Change: on fresh seeds it takes 90% off" in shown(lambda console: show_stopped(console, stopped))
    sooner = write_run(None, status="interrupted", ladders={}, config_fixed=[])
    (sooner.folder / store.RECOMMENDATION).unlink()
    assert shown(lambda console: show_stopped(console, sooner)) == ""


def test_the_noise_scale_is_a_line(write_run: Callable[..., Run]) -> None:
    run = write_run(ANSWER)
    assert "noise scale" not in result(run)
    moment = {"step": 600, "scale": {"samples": 96.0, "low": 96.0, "high": 96.0}, "seeds": []}
    known = {"trained_steps": 1200, "gradients": 192, "tied": [], "normed": False, "disturbed": [], "searched": False}
    document = {"batch_size": 32, "lr": 0.003, "moments": [moment], "failed": "", **known}
    store.write_json(run.folder / store.NOISE_SCALE, document)
    assert "need 25% more samples and 38% fewer steps" in line(result(run), "noise scale: 96 samples")


def test_a_run_that_was_stopped_at_once_shows_what_there_is(write_run: Callable[..., Run]) -> None:
    assert "trials:" in result(write_run(None, ladders={}, config_fixed=[], unmapped=[]))


def test_the_ladders_of_today_and_of_the_recommendation_are_shown(write_run: Callable[..., Run]) -> None:
    text = result(write_run(ANSWER))
    titles = [item.strip() for item in text.splitlines() if item.startswith("learning rates")]
    assert titles == [
        "learning rates with inputs as they are (medians of 3 seeds)",
        "learning rates with input: standardize (medians of 3 seeds)",
    ]


def test_a_learning_rate_is_shown_with_its_verdict(write_run: Callable[..., Run]) -> None:
    text = result(write_run(ANSWER))
    cells = [item.strip() for item in line(text, "0.03 (today)").strip("│\n").split("│")]
    assert cells == ["0.03 (today)", "5.43", "1.23e+03", "no", "0.5", "", "unsteady"]
    cells = [item.strip() for item in line(text, "1.0e+00").strip("│\n").split("│")]
    assert cells == ["1.0e+00", "not finite", "9.87", "yes", "0.5", "backbone.[1].weight", "explodes"]


def test_a_long_run_that_was_not_measured_to_its_end_is_said_to_be_extrapolated(
    write_run: Callable[..., Run],
) -> None:
    assert "measured over 600 of 615 steps; the rest is extrapolated" in result(write_run(ANSWER))
    assert "extrapolated" not in result(write_run(replace(ANSWER, steps=615)))


def test_a_metric_that_is_not_there_is_left_out(write_run: Callable[..., Run]) -> None:
    text = result(write_run(ANSWER, metric=None))
    assert line(text, "recommended:").endswith("score 0.0391 (worst seed 0.05)")
    dead = replace(ANSWER, after=Measured(AFTER.scores, dict.fromkeys(AFTER.scores, math.nan)))
    assert line(result(write_run(dead)), "recommended:").endswith("score 0.0391 (worst seed 0.05)")


def test_the_ladders_end_with_what_they_are_good_for(write_run: Callable[..., Run]) -> None:
    text = result(write_run(ANSWER))
    assert text.count("held constant for 40 steps, without warmup or") == 1
    assert "held constant" not in result(write_run(ANSWER, ladders={}))


def test_a_pipe_gets_everything_in_plain_text(write_run: Callable[..., Run]) -> None:
    run = write_run(ANSWER)
    command = [sys.executable, "-m", "preflight.cli.main", "report", str(run.folder)]
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "40"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    text = done.stdout
    assert text.isascii()
    assert "\x1b" not in text
    cells = re.split(r" {2,}", line(text, "1.0e+00").strip())
    assert cells == ["1.0e+00", "not finite", "9.87", "yes", "0.5", "backbone.[1].weight", "explodes"]
    assert re.split(r" {2,}", line(text, "  lr ").strip()) == [
        "lr", "0.03", "0.003", "10% (-20% to 30%)", "40% (30% to 50%)", "may",
    ]  # fmt: skip
    assert line(text, "held constant").endswith("can be another one.")


def test_the_inspection_is_a_line_for_each_thing() -> None:
    lines = shown(lambda console: show_inspection(console, INSPECTION)).splitlines()
    assert lines[0] == "input input: float32 1x8x8"
    assert lines[1] == "  image, 0 to 255, mean 77.91, std 95.9, 2 not finite"
    assert lines[2] == "input [valid]: bool 24"
    assert lines[3] == "loss ce: 24.1 at initialisation, best constant prediction 2.303"
    assert lines[4] == "loss unknown: 3 at initialisation, no constant prediction found"
    assert lines[5].startswith("today: lr=0.03, batch_size=32, warmup_fraction=0, shuffle=True")
    assert " ".join(lines[5:]).endswith("; 615 steps")


def test_many_features_are_counted_and_not_listed() -> None:
    field = INSPECTION["fields"][0]  # type: ignore[index]
    feature = field["features"][0]
    many = {**INSPECTION, "fields": [{**field, "features": [{**feature, "name": f"f{i}"} for i in range(20)]}]}
    text = shown(lambda console: show_inspection(console, many))
    assert "  f7: image" in text
    assert "f8:" not in text
    assert "and 12 more features" in text


def test_settings_are_shown_on_one_level() -> None:
    assert flat(asdict(BETTER)) == {
        "lr": "0.003",
        "batch_size": 32,
        "warmup_fraction": "0",
        "shuffle": True,
        "weight_decay": None,
        "clip_norm": None,
        "scheduler_interval": None,
        "num_workers": None,
        "loss_weights.ce": 1.0,
        "normalization.input": "standardize",
        "dropout": 0.0,
    }


def test_a_change_that_no_score_depends_on_is_shown_by_its_speed(write_run: Callable[..., Run]) -> None:
    workers = Change("num_workers", 0, 8, None, None, Speed(64.1, 612.0, 9.55, 9.1, 10.2, 4))
    text = result(write_run(replace(ANSWER, changes=(*ANSWER.changes, workers))))
    assert line(text, "num_workers", "9.55x samples/s", "no score depends on it")


def test_a_gain_has_its_interval() -> None:
    assert gain(Effect(0.43, 0.04, 0.66, 5)) == "43% (4% to 66%)"


def test_a_report_can_be_made_again_from_the_run_directory(
    write_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(ANSWER)
    assert main(["report", str(run.folder)]) == 0
    assert "Change: on fresh seeds" in capsys.readouterr().out
    assert (run.folder / store.REPORT).stat().st_size > 1000


def test_the_margins_are_said_a_line_each(write_run: Callable[..., Run]) -> None:
    lines = result(write_run(ANSWER)).splitlines()
    assert any("diverging" in line or line.startswith("  Held constant for") for line in lines)
