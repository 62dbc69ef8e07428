from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from benchmarks.cases import CASES, Case
from benchmarks.field_grid import (
    NAMES,
    TWIN,
    Cell,
    Row,
    cells,
    edited,
    main,
    overrides,
    run,
    targets,
    text,
    wrong_with_case,
    wrong_with_twin,
)
from benchmarks.variations import GRIDS, KINDS, MAGNITUDE, SEED, SIZE, Variation

from benchmarks import field_grid
from preflight.cli.main import main as preflight
from preflight.core.catalog import packaged_conf
from preflight.telemetry import store

CASE = Case("face_arcface", ("PF202", "PF104"))
BY_NAME = {case.name: case for case in CASES}


def row(kind: str = SEED, *, is_twin: bool = False, wrong: str = "") -> Row:
    return Row(kind, "seed 1", is_twin, ("PF202",), ("PF202",), "change", 12.3, wrong)


@pytest.mark.parametrize(
    ("codes", "wrong"),
    [
        (["PF202", "PF401", "PF104"], ""),
        (["PF104", "PF202"], "PF104 before PF202"),
        (["PF202"], "PF104 not named"),
        ([], "PF202, PF104 not named"),
    ],
)
def test_the_cause_comes_first_and_everything_planted_is_named(codes: list[str], wrong: str) -> None:
    assert wrong_with_case(CASE, codes) == wrong


@pytest.mark.parametrize(
    ("loud", "decision", "wrong"),
    [([], "keep", ""), ([], "cannot_tell", ""), ([], "change", "changed"), (["PF202"], "keep", "PF202 named")],
)
def test_a_twin_is_left_alone(loud: list[str], decision: str, wrong: str) -> None:
    assert wrong_with_twin(loud, decision) == wrong


def test_a_target_for_every_kind_and_for_the_twin() -> None:
    rows = [row(), row(wrong="PF202 not named"), row(SIZE), row(is_twin=True), row(SIZE, is_twin=True)]
    assert targets("a", [asdict(item) for item in rows]) == [
        {"name": "a: seed", "target": 2, "value": 1, "holds": False},
        {"name": "a: size", "target": 1, "value": 1, "holds": True},
        {"name": "a: twin", "target": 2, "value": 2, "holds": True},
    ]


def test_a_row_says_what_is_wrong() -> None:
    assert text("a", row()).split() == ["a", "seed", "1", "12", "s", "change", "right", "PF202"]
    assert "a twin " in text("a", row(is_twin=True, wrong="changed"))
    assert "WRONG: changed" in text("a", row(is_twin=True, wrong="changed"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_varies_in_seeds_sizes_and_magnitude(case: Case) -> None:
    found = [item.variation for item in cells(case) if not item.is_twin]
    assert len({item.name for item in found}) == len(found)
    assert len([item for item in found if item.kind == SEED]) >= 3
    # A copy that is never updated cannot be so three times over.
    assert {item.kind for item in found} == set(KINDS) - ({MAGNITUDE} if case.name == "teacher_distill" else set())
    twins = [item.variation for item in cells(case) if item.is_twin]
    assert twins == [item for item in found if item.kind != MAGNITUDE]


def test_an_edit_that_does_not_fit_the_file_is_refused() -> None:
    assert edited("lr: 1 # high\n", Variation(MAGNITUDE, "a", (), {"lr: 1": "lr: 3"})) == "lr: 3 # high\n"
    with pytest.raises(ValueError, match="a: 'lr: 2' is in the file 0 times"):
        edited("lr: 1\n", Variation(MAGNITUDE, "a", (), {"lr: 2": "lr: 3"}))


def test_the_owners_file_is_edited_in_a_copy(tmp_path: Path) -> None:
    cell = next(item for item in cells(BY_NAME["face_arcface"]) if item.variation.edits)
    (option,) = (item for item in overrides(cell, tmp_path) if item.startswith("model.config="))
    copy = Path(option.partition("=")[2])
    assert copy.parent == tmp_path
    original = (packaged_conf() / "model" / "train" / "face_arcface.yaml").read_text("utf-8").splitlines()
    assert len(set(original) ^ set(copy.read_text("utf-8").splitlines())) == 2


def test_runs_that_are_kept_are_judged_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not run: one of the twins has changed its settings, and everything else is right."""
    monkeypatch.setattr(field_grid, "RESULTS", tmp_path / "results.json")
    case = BY_NAME["dinocell"]
    for cell in cells(case):
        codes = [] if cell.is_twin else case.expected
        is_wrong = cell.is_twin and cell.variation.name == "seed 2"
        keep(tmp_path / cell.folder, codes, "change" if is_wrong or not cell.is_twin else "keep")
    assert main(["--only", "dinocell", "--runs", str(tmp_path)]) == 1
    found = json.loads((tmp_path / "results.json").read_text())
    assert [item["name"] for item in found["targets"] if not item["holds"]] == [f"dinocell: {TWIN}"]
    keep(tmp_path / "dinocell_healthy-seed_2", [], "keep")
    assert main(["--only", "dinocell", "--runs", str(tmp_path)]) == 0


def test_a_run_that_was_cut_off_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = BY_NAME["dinocell"]
    cell = next(cells(case))
    (tmp_path / cell.folder).mkdir()
    (tmp_path / cell.folder / store.RUN).write_text("{")
    asked: list[str] = []

    def flown(*arguments: str) -> None:
        asked.extend(arguments)
        assert not (tmp_path / cell.folder).exists()
        keep(tmp_path / cell.folder, case.expected, "change")

    monkeypatch.setattr(field_grid, "_preflight", flown)
    assert run(cell, tmp_path).wrong == ""
    assert asked[0] == "+model=dinocell"
    assert set(cell.variation.overrides) <= set(asked)


def keep(run_dir: Path, codes: tuple[str, ...] | list[str], decision: str) -> None:
    run_dir.mkdir(exist_ok=True)
    findings = [{"code": code, "severity": "error"} for code in codes]
    store.write_json(run_dir / store.FINDINGS, {"findings": findings})
    store.write_json(run_dir / store.RECOMMENDATION, {"decision": decision})
    store.write_json(run_dir / store.RUN, {"seconds": 1.0})


@pytest.mark.parametrize(
    ("name", "is_twin", "changed"),
    [
        ("giblet", False, "scanner units x 3"),
        ("icecube", False, "units / 3"),
        ("icecube", True, "2500 events"),
    ],
)
def test_what_inspect_says_does_not_change(name: str, is_twin: bool, changed: str, tmp_path: Path) -> None:
    case, variation = BY_NAME[name], next(item for item in GRIDS[name].variations if item.name == changed)
    cell = Cell(case, variation, is_twin)
    arguments = [f"+model={cell.model}", *variation.overrides, f"--json={tmp_path / 'found.json'}"]
    assert preflight(["inspect", *arguments]) == 0
    codes = [item["code"] for item in json.loads((tmp_path / "found.json").read_text())["findings"]]
    if is_twin:
        assert codes == []
    else:
        assert codes[0] == case.expected[0]
        assert set(case.expected) <= set(codes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell", [cell for name in NAMES for cell in cells(BY_NAME[name])], ids=lambda cell: cell.folder
)
def test_no_verdict_changes(cell: Cell, tmp_path: Path) -> None:
    found = run(cell, tmp_path)
    assert found.wrong == "", found.codes
