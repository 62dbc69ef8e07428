from __future__ import annotations

from collections.abc import Callable
from typing import Any

from preflight.core.params import Params
from preflight.report.comparison import OTHER, TODAY, compare
from preflight.report.sources import Sources

NewRun = Callable[..., Any]
NOW = Params(lr=0.03, batch_size=32, normalization={"input": "none"}, loss_weights={"ce": 1.0})


def lr(value: float) -> Params:
    return NOW.with_values({"lr": value})


def test_proof_runs_come_before_all_others(changed: Any) -> None:
    found = compare(Sources.read(changed.folder))
    assert found is not None
    assert found.stage == "proof"
    assert [side.label for side in found.sides] == ["today's settings", "recommended settings"]
    assert [len(side.recordings) for side in found.sides] == [3, 3]


def test_without_both_sides_of_a_proof_the_confirming_runs_are_shown(new_run: NewRun) -> None:
    writer = new_run()
    for seed in range(2):
        writer.trial("confirm", seed, NOW, seed=seed)
        writer.trial("confirm", 2 + seed, lr(0.01), seed=seed, score=0.4)
        writer.trial("confirm", 4 + seed, lr(0.02), seed=seed, score=0.3)
    writer.trial("proof", 0, NOW)
    found = compare(Sources.read(writer.folder))
    assert found is not None
    assert found.stage == "confirm"
    other = found.side(OTHER)
    assert other is not None
    assert other.params.lr == 0.02
    assert other.label == "best candidate"


def test_the_candidate_compared_on_most_seeds_is_the_one_that_was_chosen(new_run: NewRun) -> None:
    writer = new_run()
    for seed in range(4):
        writer.trial("confirm", seed, NOW, seed=seed)
        writer.trial("confirm", 4 + seed, lr(0.01), seed=seed, score=0.4)
    writer.trial("confirm", 8, lr(0.02), seed=0, score=0.1)
    found = compare(Sources.read(writer.folder))
    assert found is not None
    other = found.side(OTHER)
    assert other is not None
    assert other.params.lr == 0.01


def test_explored_trials_stand_in_and_only_those_that_completed(new_run: NewRun) -> None:
    writer = new_run()
    writer.trial("explore", 0, NOW, score=1.0)
    writer.trial("explore", 1, lr(0.01), score=0.5)
    writer.trial("explore", 2, lr(0.02), score=0.1, status="pruned")
    found = compare(Sources.read(writer.folder))
    assert found is not None
    assert found.stage == "explore"
    assert [side.params.lr for side in found.sides] == [0.03, 0.01]


def test_one_side_is_better_than_none(new_run: NewRun) -> None:
    writer = new_run()
    writer.trial("explore", 0, NOW)
    found = compare(Sources.read(writer.folder))
    assert found is not None
    assert [side.role for side in found.sides] == [TODAY]


def test_nothing_trained_nothing_to_compare(new_run: NewRun) -> None:
    assert compare(Sources.read(new_run().folder)) is None
