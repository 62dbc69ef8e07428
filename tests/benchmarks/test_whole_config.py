from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from benchmarks.calibration import Claim, draw
from benchmarks.whole_peers import PEERS, RATES, Question
from benchmarks.whole_setup import set_up, settings_of
from benchmarks.whole_starts import STARTS
from benchmarks.whole_verdict import covers, judge, rank_correlation, targets, way

from benchmarks import whole_config
from preflight.advise.evidence import Effect
from preflight.telemetry import store

BY_NAME = {start.name: start for start in STARTS}
RAW = BY_NAME["digits, SGD, raw pixels"]


def scores(middle: float) -> dict[int, float]:
    return {1: 0.98 * middle, 2: middle, 3: 1.02 * middle}


def result(fault: str, ours: float, *, rank: float | None = 1.0, covered: bool | None = True) -> dict[str, Any]:
    found = judge(fault, {"today": scores(0.5), "best": scores(0.1), "preflight": scores(ours)}, ["preflight"], "today")
    return {"fault": fault, "verdict": found, "rank_correlation": rank, "covered": covered}


@pytest.mark.parametrize(("after", "expected"), [(0.1, 1.0), (0.14, 0.9), (0.5, 0.0), (0.6, -0.25)])
def test_the_way_from_the_original_to_the_best(after: float, expected: float) -> None:
    assert way(0.5, after, 0.1) == pytest.approx(expected)


def test_there_is_no_way_to_go_from_the_best() -> None:
    assert way(0.1, 0.1, 0.1) == 1.0


def test_a_run_that_was_lost_counts_as_a_constant_prediction() -> None:
    found = judge("rate", {"today": {1: math.inf, 2: math.inf}, "preflight": {1: 0.5, 2: 0.5}}, ["preflight"], "today")
    assert found["tools"]["preflight"]["way"] == 1.0
    found = judge(
        "rate",
        {"today": {1: math.inf, 2: math.inf}, "preflight": {1: 0.5, 2: 0.5}, "best": {1: 0.1, 2: 0.1}},
        ["preflight"],
        "today",
    )
    assert found["tools"]["preflight"]["way"] == pytest.approx(0.5 / 0.9)
    assert found["best"] == "best"


def test_repaired_and_worse_are_what_they_say() -> None:
    assert result("rate", 0.11)["verdict"]["tools"]["preflight"]["repaired"]
    assert not result("rate", 0.2)["verdict"]["tools"]["preflight"]["repaired"]
    assert not result("", 0.11)["verdict"]["tools"]["preflight"]["repaired"]
    assert result("", 0.7)["verdict"]["tools"]["preflight"]["worse"]
    assert not result("", 0.5)["verdict"]["tools"]["preflight"]["worse"]


def test_targets_hold_or_do_not() -> None:
    rows = targets({"a": result("rate", 0.1), "b": result("", 0.5)}, "preflight")
    assert [row["holds"] for row in rows] == [True, True, True, True]
    rows = targets({"a": result("rate", 0.4, rank=0.5, covered=False), "b": result("", 0.7)}, "preflight")
    assert [row["value"] for row in rows] == [0.0, 1.0, 0.75, 0.5]
    assert not any(row["holds"] for row in rows)
    assert not any(row["holds"] for row in targets({}, "preflight"))


def test_a_claim_covers_what_lies_inside_its_interval() -> None:
    claimed = Effect(0.3, 0.2, 0.4, 5)
    assert covers(claimed, Effect(0.39, 0.1, 0.6, 5))
    assert not covers(claimed, Effect(0.41, 0.1, 0.6, 5))


def test_the_rank_correlation_needs_some_pairs_that_differ() -> None:
    pairs = [(1.0, 1.0), (2.0, 2.0), (3.0, math.inf), (4.0, 50.0)]
    assert rank_correlation(pairs) == pytest.approx(0.95, abs=0.01)  # the last two are both lost
    assert rank_correlation(pairs[:3]) is None
    assert rank_correlation([(1.0, 1.0)] * 5) is None


def test_every_start_has_one_name_and_a_fault_that_its_mended_settings_do_without() -> None:
    assert len(BY_NAME) == len(STARTS)
    healthy = [start for start in STARTS if not start.fault]
    assert 10 <= len(healthy) < len(STARTS)
    for start in STARTS:
        today, good = start.settings(0.1), start.known_good(0.1)
        assert bool(start.fault) == any(today.get(name) != value for name, value in good.items()) or start.lr == 2.0


@pytest.fixture
def question(tmp_path: Path) -> Question:
    setup = set_up(settings_of(RAW, 0.3, f"run_dir={tmp_path / 'run'}"))
    return Question(setup, setup.lab(tmp_path / "lab"), 3 * RAW.task.horizon_steps, 0)


def test_a_search_may_change_what_preflight_may(question: Question) -> None:
    assert {"lr", "warmup_fraction", "normalization.image", "shuffle", "clip_norm", "weight_decay"} <= set(
        question.axes()
    )
    assert question.trials == 3


@pytest.mark.parametrize("name", sorted(PEERS))
def test_a_search_spends_what_it_was_given_and_names_settings(
    question: Question, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def score(_: Question, params: Any, index: int) -> float:
        tried.append((index, params))
        return abs(math.log10(params.lr) + 2)

    monkeypatch.setattr(Question, "score", score)
    chosen = PEERS[name](question)
    assert [index for index, _ in tried] == [0, 1, 2]
    assert chosen.key() == min(tried, key=lambda item: abs(math.log10(item[1].lr) + 2))[1].key()
    if name == "budget grid":
        assert chosen.lr in RATES


def test_without_the_truth_it_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_config, "TRUTH", tmp_path / "none.json")
    with pytest.raises(SystemExit, match=r"benchmarks\.lr_choice first"):
        whole_config.main(["--only", RAW.name, "--runs", str(tmp_path)])


def test_a_start_that_is_kept_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number = STARTS.index(RAW)
    entries = {"today's settings": scores(0.5), "preflight": scores(0.1)}
    tools = {name: {"way": 1.0, "repaired": True, "worse": False, "gain": 0.8} for name in ("preflight", *PEERS)}
    kept = {
        **{"fault": "inputs", "decision": "change", "steps": 7, "scores": entries, "verdict": {"tools": tools}},
        **{"rank_correlation": 0.95, "claimed": None, "covered": None},
    }
    (tmp_path / f"{number:02d}").mkdir()
    store.write_json(tmp_path / f"{number:02d}" / "result.json", kept)
    monkeypatch.setattr(whole_config, "RESULTS", tmp_path / "results.json")
    assert whole_config.main(["--only", RAW.name, "--runs", str(tmp_path)]) == 1  # no healthy start was run
    printed = capsys.readouterr().out
    assert "digits, SGD, raw pixels (inputs): change, 7 steps" in printed
    assert "holds  faulty starts repaired: 1, target >= 0.95" in printed
    assert list(store.read_json(tmp_path / "results.json")["starts"]) == [RAW.name]


def test_the_picture_of_the_claims_is_the_same_file_again(tmp_path: Path) -> None:
    claims = [
        Claim(Effect(0.9, 0.88, 0.92, 5), Effect(0.91, 0.89, 0.93, 5), held=True),
        Claim(Effect(0.3, -math.inf, 0.4, 5), Effect(-0.5, -math.inf, 1.0, 1), held=False),
    ]
    for name in ("one.svg", "two.svg"):
        draw(claims, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "1 of 2 claimed intervals" in (tmp_path / "one.svg").read_text(encoding="utf-8")
