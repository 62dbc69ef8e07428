from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import yaml

from preflight.advise.choose import MAX_ROUNDS
from preflight.core.catalog import packaged_conf, sweeps_in
from preflight.core.search_settings import (
    BOUNDS,
    MAX_COUNT,
    MAX_SEEDS,
    BudgetSettings,
    parse_budget,
)
from preflight.pipeline.confirmation import CONFIRM_SEEDS, PROOF_SEEDS, SEEDS_PER_RUN

Refusal = Callable[..., str]


def test_a_budget_is_taken_as_it_is(budget: dict[str, Any]) -> None:
    assert parse_budget({**budget, "timeout_s": 60}) == BudgetSettings(**budget, timeout_s=60.0)
    assert parse_budget(budget).timeout_s is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"trials": 0}, "budget.trials must be a whole number of at least 1, got 0"),
        ({"trials": "many"}, "budget.trials must be a whole number of at least 1, got 'many'"),
        ({"trials": None}, "'budget.trials' is missing; it looks like: trials: 10"),
        ({"seeds": 1}, "budget.seeds must be a whole number of at least 2, got 1"),
        ({"trial_steps": 3}, "budget.trial_steps must be a whole number of at least 4, got 3"),
        ({"range_steps": 7}, "budget.range_steps must be a whole number of at least 8, got 7"),
        ({"trials": True}, "budget.trials must be a whole number of at least 1, got True"),
        ({"trials": -3}, "budget.trials must be a whole number of at least 1, got -3"),
        ({"trials": 2.5}, "budget.trials must be a whole number of at least 1, got 2.5"),
        ({"trials": 10**18}, f"budget.trials must be a whole number of at most {MAX_COUNT}, got {10**18}"),
        ({"trials": 10**400}, "budget.trials must be a whole number of at least 1, got 1"),
        ({"trials": "10"}, "got '10', which is text: write it without quotes, as 10"),
        ({"rungs": 1001}, "budget.rungs must be a whole number of at most 1000, got 1001"),
        ({"seeds": MAX_SEEDS + 1}, f"budget.seeds must be a whole number of at most {MAX_SEEDS}, got {MAX_SEEDS + 1}"),
        ({"range_seeds": 10**4}, f"budget.range_seeds must be a whole number of at most {MAX_SEEDS}, got 10000"),
        ({"timeout_s": -1}, "budget.timeout_s must be positive, got timeout_s=-1"),
        ({"timeout_s": True}, "budget.timeout_s must be a finite number, got True"),
        ({"timeout_s": float("inf")}, "budget.timeout_s must be a finite number, got inf"),
        ({"timeout_s": 0}, "budget.timeout_s must be positive, got timeout_s=0"),
        ({"timeout_s": "soon"}, "budget.timeout_s must be a finite number, got 'soon'"),
    ],
)
def test_a_wrong_budget_is_named_with_its_bound(
    change: dict[str, Any], text: str, budget: dict[str, Any], refusal: Refusal
) -> None:
    assert text in refusal(parse_budget, {**budget, **change})


def test_the_bounds_of_a_budget_are_allowed(budget: dict[str, Any]) -> None:
    for name, (low, high) in BOUNDS.items():
        for value in (low, high):
            assert getattr(parse_budget({**budget, name: value}), name) == value


def test_seeds_of_one_stage_never_reach_those_of_another() -> None:
    stages = sorted((0, CONFIRM_SEEDS, PROOF_SEEDS, SEEDS_PER_RUN))
    assert min(after - before for before, after in pairwise(stages)) >= MAX_ROUNDS * MAX_SEEDS


def test_an_unknown_part_of_a_budget_lists_the_known_ones(budget: dict[str, Any], refusal: Refusal) -> None:
    text = refusal(parse_budget, {**budget, "trails": 3})
    assert text.startswith("unknown key 'budget.trails'; did you mean 'trials'? known: candidates, ")


@pytest.mark.parametrize("name", sweeps_in("budget"))
def test_every_packaged_budget_is_one(name: str) -> None:
    text = (packaged_conf().parent / "sweeps" / "budget" / f"{name}.yaml").read_text(encoding="utf-8")
    assert parse_budget(yaml.safe_load(text)).seeds >= 2
