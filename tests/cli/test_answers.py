from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from preflight.cli.answers import MAX_REASONS, exceeds, show_answers, show_problems
from preflight.telemetry.text_lines import Problem


def shown(*, everything: bool, **document: object) -> list[str]:
    console = Console(file=io.StringIO(), width=40)
    show_answers(console, {"clean": [], "not_applicable": [], **document}, everything=everything)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def lacks(code: str, missing: str) -> dict[str, str]:
    return {"code": code, "name": code.lower(), "missing": missing}


def test_rules_that_lack_the_same_are_named_together() -> None:
    items = [lacks("PF101", "no norms"), lacks("PF301", "no fields"), lacks("PF102", "no norms")]
    clean = [{"code": "PF501", "name": "recorded-zeros"}, {"code": "PF502", "name": "constant-series"}]
    assert shown(everything=False, clean=clean, not_applicable=items) == [
        "nothing found: PF501, PF502",
        "not applicable: PF101, PF102: no norms",
        "not applicable: PF301: no fields",
    ]
    assert shown(everything=True, clean=clean[:1], not_applicable=items[:1]) == [
        "nothing found: PF501 recorded-zeros",
        "not applicable: PF101 pf101: no norms",
    ]


def test_rare_reasons_are_left_to_all() -> None:
    items = [lacks(f"PF1{index:02d}", f"reason {index}") for index in range(MAX_REASONS + 2)]
    *_, last = shown(everything=False, not_applicable=items)
    assert last == f"not applicable: {items[-2]['code']}, {items[-1]['code']}; --all says why"


@pytest.mark.parametrize(
    ("severities", "limit", "expected"),
    [
        (["warning"], "error", False),
        (["warning"], "warning", True),
        (["error"], "warning", True),
        (["note"], "note", True),
        (["note", "warning"], "error", False),
        ([], "note", False),
        (["error"], None, False),
    ],
)
def test_a_limit_is_exceeded_by_what_is_as_grave(severities: list[str], limit: str | None, expected: bool) -> None:
    document: dict[str, Any] = {"findings": [{"severity": severity} for severity in severities]}
    assert exceeds(document, limit) is expected


def test_a_problem_is_shown_as_it_is() -> None:
    console = Console(file=io.StringIO(), width=20)
    show_problems(console, [Problem("a.csv", "3 cells [bold] where the header has 5", 7)])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "not read: a.csv, line 7: 3 cells [bold] where the header has 5\n"
