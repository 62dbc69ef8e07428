from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks.case_page import fill
from benchmarks.cases import CASES
from benchmarks.field_cases import PAGES, main

BETTER = {"gain": 0.5, "low": 0.4, "high": 0.6, "seeds": 2}
RESULT: dict[str, Any] = {
    "transcript": "PF999 error: it does not learn\n",
    "diff": "-lr: 1\n+lr: 0.1",
    "contenders": [
        {
            "name": "today's settings",
            "scores": {1: 2.0, 2: 3.0},
            "curves": {1: [(5.0, 2.5), (10.0, 2.0)]},
            "effect": None,
        },
        {"name": "config_fixed.yaml", "scores": {1: 1.0, 2: 1.5}, "curves": {1: [(5.0, 1.5)]}, "effect": BETTER},
    ],
    "healthy": {"decision": "keep", "findings": []},
    "throughput": {"variants": [{"workers": 1, "batch_size": 40, "samples_per_s": [3.0, 1.0, 2.0], "failed": ""}]},
}
BLOCKS = ("transcript", "diff", "table", "curves", "healthy", "throughput")


def page(folder: Path, blocks: tuple[str, ...]) -> Path:
    path = folder / "a.md"
    path.write_text("# a\n" + "\n".join(f"<!-- {block} -->\nold\n<!-- /{block} -->" for block in blocks), "utf-8")
    return path


def test_a_page_gets_what_the_run_showed(tmp_path: Path) -> None:
    path = page(tmp_path, BLOCKS)
    fill(tmp_path, "a", RESULT)
    fill(tmp_path, "a", RESULT)  # again in place of what is there
    text = path.read_text("utf-8")
    assert "old" not in text
    assert text.count("$ preflight +model=a budget=quick\nPF999 error: it does not learn") == 1
    assert "| config_fixed.yaml | 1.25 (1 to 1.5) | 50% (40% to 60%) |" in text
    assert "| 1 | 40 | 2 |" in text
    assert "Decision: keep. Findings: none." in text
    assert (tmp_path / "a.svg").read_text("utf-8").startswith("<?xml")


def test_a_page_without_a_place_says_which(tmp_path: Path) -> None:
    path = page(tmp_path, BLOCKS[1:])
    with pytest.raises(ValueError, match="has no place for the transcript"):
        fill(tmp_path, "a", RESULT)
    assert "PF999" not in path.read_text("utf-8")


def test_every_case_has_a_page() -> None:
    assert {case.name for case in CASES} <= {path.stem for path in PAGES.glob("*.md")}


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--seeds", "1"]])
def test_wrong_arguments_end_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert arguments[1] in capsys.readouterr().err
