from __future__ import annotations

import io

from rich.console import Console

from preflight.cli.findings import show_findings

FINDING = {
    "code": "PF101",
    "name": "exploding-gradients",
    "title": "Gradients explode",
    "severity": "error",
    "message": "it grew [x1000]",
    "evidence": [],
    "remedies": [{"text": "lower it", "settings": {"lr": 0.01}}],
    "where": "",
    "step": 3,
    "strength": 2.0,
    "runs": 3,
    "found": 3,
    "proof": {
        "verdict": "confirmed",
        "remedy": {"text": "", "settings": {"lr": 0.01}},
        "effect": {"gain": 0.5, "low": 0.4, "high": 0.6, "seeds": 3},
    },
}


def shown(**document: object) -> list[str]:
    console = Console(file=io.StringIO(), width=40)
    show_findings(console, {"findings": [], "clean": [], "not_applicable": [], **document})
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_finding_is_shown_whole_however_narrow_the_window() -> None:
    assert shown(findings=[FINDING]) == [
        "PF101 error: it grew [x1000] (3 of 3 seeds)",
        "  remedy: lower it (lr=0.01)",
        "  confirmed: tried lr=0.01 on 3 seeds: it takes 50% off the validation score",
        "1 rule asked: 1 finding, 0 found nothing, 0 lack what they judge by",
    ]


def test_what_was_not_tried_says_so() -> None:
    untested = {**FINDING, "proof": {"verdict": "untested"}}
    assert "  untested: no run was made with lr=0.01" in shown(findings=[untested])
    words = {**untested, "remedies": [{"text": "look at the data", "settings": {}}]}
    assert "  untested: what is to be done is no setting that could be tried" in shown(findings=[words])


def test_a_likely_cause_is_named() -> None:
    cause = {**FINDING, "code": "PF101", "severity": "warning"}
    symptom = {**FINDING, "code": "PF108", "proof": {"verdict": "untested"}}
    assert "  probably because of PF101" in shown(findings=[cause, symptom])


def test_without_a_finding_the_rules_are_counted() -> None:
    assert shown(clean=[{}, {}]) == ["2 rules asked: 0 findings, 2 found nothing, 0 lack what they judge by"]
