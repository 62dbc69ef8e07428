"""A few programs, run and judged as the whole benchmark runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.harness import PURPOSE, judge, prepare
from benchmarks.plain_loop import Habits
from benchmarks.program import HELD_OUT, TRAIN, Training
from benchmarks.suite import HEALTHY, PROGRAMS, program
from benchmarks.verdict import Said, Verdict

from benchmarks import diagnosis
from preflight.telemetry.recording import Run

KEYS = {"targets", "totals", "families", "rules", "published", "missed", "false_alarms", "programs", "broken"}


def short(training: Training) -> Training:
    return training.but(horizon_steps=12)


def test_a_faulty_program_is_run_and_its_twin(tmp_path: Path) -> None:
    item = program("multitask/class_by_1e6")
    verdict = judge(item, tmp_path)
    assert verdict.broken == ""
    assert len(verdict.scores) == 3
    assert verdict.twin is not None
    assert verdict.twin < min(verdict.scores)
    kept = judge(item, tmp_path)
    assert (kept.said, kept.scores, kept.twin) == (verdict.said, verdict.scores, verdict.twin)


def test_recordings_that_were_cut_off_are_made_anew(tmp_path: Path) -> None:
    item = program("wine/relu-adam-0.003")
    first = judge(item, tmp_path)
    (recorded,) = tmp_path.glob("*/recorded.json")
    for text in ("", '{"facts": {', "[]", recorded.read_text()[:100]):
        recorded.write_text(text)
        again = judge(item, tmp_path)
        assert (again.broken, again.said, again.scores) == ("", first.said, first.scores)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "0"], "--workers must be at least 1, got 0"),
        (["--workers", "-2"], "--workers must be at least 1, got -2"),
        (["--out", "."], "--out must be a file, got the folder ."),
        (["--out", "file/out.json"], "--out must be in a folder that can be written to, got file"),
        (["--runs", "file"], "--runs must be in a folder that can be written to, got file"),
        (
            ["--only", "nothing"],
            "--only must be part of a program's name, got 'nothing', which fits none of --split all",
        ),
    ],
)
def test_a_bad_argument_is_said_before_any_work(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(SystemExit) as ended:
        diagnosis.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


# One of every kind of data and model: not the whole matrix, which the benchmark itself runs.
HEALTHY_FAMILIES = ("digits_mlp", "signals", "waves", "table", "moons")


@pytest.mark.slow
@pytest.mark.parametrize("base", HEALTHY_FAMILIES)
def test_nothing_is_said_against_a_healthy_program(base: str) -> None:
    item = next(item for item in HEALTHY if item.base == base and "adam-" in item.name)
    verdict = judge(item)
    assert verdict.broken == ""
    assert verdict.stopped == ""
    assert len(verdict.scores) == 3
    assert [f"{said.code}: {said.message}" for said in verdict.alarms] == []


def test_a_refusal_that_names_a_rule_is_its_finding(tmp_path: Path) -> None:
    verdict = judge(program("signals/infinite_value"), tmp_path)
    assert [item.code for item in verdict.said] == ["PF305"]
    assert verdict.said[0].message == verdict.stopped
    assert (verdict.is_named, verdict.scores, verdict.broken) == (True, (), "")


def test_a_healthy_program_has_no_twin() -> None:
    verdict = judge(program("wine/relu-adam-0.003"))
    assert (verdict.broken, verdict.twin, verdict.repair) == ("", None, None)
    assert max(verdict.scores) < 0.8


@pytest.mark.parametrize(
    ("habits", "differs"),
    [
        (Habits(), False),
        (Habits(zero_grad=False), True),
        (Habits(metrics="zeros"), True),
        (Habits(metrics="stale"), True),
    ],
)
def test_a_plain_loop_with_good_habits_is_preflights_own(tmp_path: Path, habits: Habits, differs: bool) -> None:
    training = short(program("wine/relu-adam-0.003").build())
    found = {}
    for name, own in (("preflight", None), ("plain", habits)):
        stand = prepare(training.but(habits=own), "wine", tmp_path)
        stand.train(stand.today, tmp_path / name)
        tables = [item.losses for item in Run(tmp_path / name, {}).recordings(PURPOSE)]
        found[name] = [table[["total", "val_score"]].dropna().to_numpy().round(4).tolist() for table in tables]
    assert (found["plain"] != found["preflight"]) is differs


def test_the_report_and_its_table_hang_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results" / "diagnosis.json"
    assert diagnosis.main(["--only", "wine/relu-sgd", "--workers", "1", "--reveal", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert set(report) >= KEYS
    assert {"name", "target", "value", "holds"} <= set(report["targets"][0])
    assert [row["name"] for row in report["families"]] in ([], ["small"])
    printed = capsys.readouterr().out
    for name, *_ in diagnosis.PUBLISHED:
        assert name in printed


def test_single_programs_of_the_judged_half_are_not_shown() -> None:
    said = (Said("PF101", "error", "explodes", True),)
    about = ("mlp", "a")
    seen = [
        Verdict(f"a/{split}", *about, split, "bad", ("PF201",), said, (2.0,), (1.0,)) for split in (TRAIN, HELD_OUT)
    ]
    hidden = diagnosis.summary(seen, "all")
    assert "a/held_out" not in json.dumps({**hidden, "totals": [], "targets": []})
    assert "a/held_out" in json.dumps(diagnosis.summary(seen, "all", reveal=True))
    assert [row["faulty"] for row in hidden["totals"]] == [1, 1, 2]


def test_a_quick_run_is_a_sample_of_the_whole() -> None:
    quick = diagnosis.select("all", "", diagnosis.QUICK)
    assert {item.name for item in quick} < {item.name for item in PROGRAMS}
    assert len(PROGRAMS) / 15 < len(quick) < len(PROGRAMS) / 3
    assert any(item.is_healthy for item in quick)
    assert any(not item.is_healthy for item in quick)
