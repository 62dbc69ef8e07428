"""Figures from verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.scores import by_rule, evidence_target, healthy_matrix, shares, targets, verified
from benchmarks.verdict import Repair, Said, Verdict

HEALTHY = Verdict("a/adam", "mlp", "a", "train", "", (), (), (0.2, 0.21, 0.22), (0.2, 0.2, 0.2))
FAULTY = Verdict("a/bad", "mlp", "a", "train", "too fast", ("PF201",), (), (1.5, 1.6, 1.7), (1.0, 1.0, 1.0), 0.2)
RATE = Said("PF201", "error", "too high", True)
EXPLODES = Said("PF101", "warning", "explodes", True)
NOTE = Said("PF205", "note", "no warmup", True)


def test_the_cause_first_is_named_and_later_is_mentioned() -> None:
    named = replace(FAULTY, said=(NOTE, RATE, EXPLODES))
    mentioned = replace(FAULTY, said=(EXPLODES, RATE))
    noted = replace(FAULTY, said=(NOTE,))
    found = shares([named, mentioned, noted, FAULTY], [])
    assert (found.detected, found.named, found.mentioned) == (0.5, 0.25, 0.5)
    assert found.alarmed is None


def test_what_neither_is_the_cause_nor_comes_of_it_strays() -> None:
    """The explosion comes of the rate, the flat loss of the explosion; nothing explains the raw target."""
    dead = Said("PF103", "warning", "dead", True, ("PF101",))
    explodes = replace(EXPLODES, causes=("PF201",))
    raw = Said("PF308", "warning", "raw", True)
    assert replace(FAULTY, said=(RATE, explodes, dead, NOTE)).strays == ()
    assert replace(FAULTY, said=(raw, RATE, dead, explodes)).strays == ("PF308",)
    assert replace(FAULTY, said=(EXPLODES, dead)).strays == ("PF101", "PF103")
    assert shares([replace(FAULTY, said=(raw, RATE)), FAULTY], []).strayed == 0.5


def test_refusing_a_task_detects_a_fault_and_names_none() -> None:
    found = shares([replace(FAULTY, stopped="the loss is nan")], [])
    assert (found.detected, found.named) == (1.0, 0.0)


def test_a_note_is_no_false_alarm() -> None:
    assert shares([], [replace(HEALTHY, said=(NOTE,))]).alarmed == 0
    assert shares([], [replace(HEALTHY, said=(EXPLODES,)), HEALTHY]).alarmed == 0.5


def test_repair_is_counted_where_a_remedy_was_trained() -> None:
    repaired = replace(FAULTY, repair=Repair("PF201", {"lr": 1e-3}, 0.2, 1.0))
    failed = replace(FAULTY, repair=Repair("PF201", {"lr": 1e-3}, 0.9, 0.1))
    found = shares([repaired, failed, FAULTY], [])
    assert (found.tried, found.repaired) == (2, 0.5)


@pytest.mark.parametrize(
    ("scores", "lowest", "trained_well"),
    [
        ((0.2, 0.2, 0.2), (0.2, 0.2, 0.2), True),
        ((0.2, 0.2, 0.9), (0.2, 0.2, 0.9), False),  # a seed that hardly beats a constant
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), False),  # far from the best of the grid
        ((0.25, 0.25, 0.25), (0.2, 0.2, 0.2), False),  # better on the way than at the end
        ((), (), False),
    ],
)
def test_healthy_is_what_trained_well(scores: tuple[float, ...], lowest: tuple[float, ...], trained_well: bool) -> None:
    item = replace(HEALTHY, name="a/other", scores=scores, lowest=lowest)
    assert (item in verified([HEALTHY, item])) is trained_well


def test_grids_of_other_tasks_do_not_judge() -> None:
    slow = replace(HEALTHY, name="b/adam", base="b", scores=(0.7, 0.7, 0.7), lowest=(0.7, 0.7, 0.7))
    assert verified([HEALTHY, slow]) == [HEALTHY, slow]


def test_rules_are_counted_by_what_they_were_right_about() -> None:
    right, wrong = replace(FAULTY, said=(RATE, EXPLODES)), replace(FAULTY, said=(EXPLODES,))
    found = by_rule([right, wrong], [replace(HEALTHY, said=(EXPLODES, NOTE))])
    assert found["PF201"] == {"right": 1, "wrong": 0, "wanted": 2, "alarms": 0}
    assert found["PF101"] == {"right": 0, "wrong": 1, "wanted": 0, "alarms": 1}


def test_healthy_runs_are_laid_out_by_architecture_and_optimizer() -> None:
    names = ("a/deep-sgd-0.1", "a/deep-sgd-0.2", "a/deep-adam-1e-05", "a/post-norm-adam-0.1")
    items = [replace(HEALTHY, name=name) for name in names]
    items[1] = replace(items[1], said=(EXPLODES,))
    assert healthy_matrix(items, ("sgd", "adam", "adamw")) == [
        {"architecture": "a/deep", "sgd": {"healthy": 2, "alarms": 1}, "adam": {"healthy": 1, "alarms": 0}},
        {"architecture": "a/post-norm", "adam": {"healthy": 1, "alarms": 0}},
    ]


def test_targets_say_whether_they_hold() -> None:
    found = targets(shares([replace(FAULTY, said=(RATE,))], [replace(HEALTHY, said=(RATE,))]), "held_out")
    assert [(item["name"], item["holds"]) for item in found] == [
        ("detection (held_out)", True),
        ("category (held_out)", True),
        ("false alarms (held_out)", False),
    ]
    assert evidence_target([replace(FAULTY, said=(RATE,))])["holds"]
    assert not evidence_target([replace(FAULTY, said=(replace(RATE, has_evidence=False),))])["holds"]


def test_what_was_not_measured_does_not_hold() -> None:
    assert [item["holds"] for item in targets(shares([], []), "train")] == [None, None, None]
