"""Which settings are confirmed on which seeds, and how often."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from preflight.advise.choose import MAX_ROUNDS
from preflight.advise.recommendation import CANNOT_TELL, KEEP, Recommendation
from preflight.core.params import Params
from preflight.core.search_settings import BudgetSettings
from preflight.pipeline.confirmation import PROOF_SEEDS, SEEDS_PER_RUN

# (settings, seed, whether on fresh seeds) -> (score, metric)
Model = Callable[[Params, int, bool], "float | tuple[float, float]"]
Decide = Callable[..., tuple[Recommendation, Any]]


def test_each_setting_is_trained_once_on_each_seed(
    decide: Decide, both_faults: Model, today: Params, better: Params
) -> None:
    idle = better.with_values({"warmup_fraction": 0.1})
    _, engine = decide(both_faults, [idle, today.with_values({"lr": 0.05})])
    done = Counter((spec.purpose, spec.params.key(), spec.seed) for spec in engine.specs)
    assert set(done.values()) == {1}
    for purpose in ("confirm", "proof"):
        numbers = [spec.index for spec in engine.specs if spec.purpose == purpose]
        assert numbers == list(range(len(numbers)))


def test_settings_are_compared_on_the_same_seeds(decide: Decide, both_faults: Model, today: Params) -> None:
    answer, engine = decide(both_faults)
    by_params: dict[Any, set[int]] = {}
    for spec in engine.specs:
        by_params.setdefault((spec.purpose, spec.params.key()), set()).add(spec.seed)
    assert len({frozenset(seeds) for (purpose, _), seeds in by_params.items() if purpose == "confirm"}) == 1
    assert answer.before is not None
    assert answer.after is not None
    assert set(answer.before.scores) == set(answer.after.scores) == by_params["proof", today.key()]


def test_what_chooses_and_what_proves_share_no_seed(decide: Decide, both_faults: Model, today: Params) -> None:
    noisy: dict[str, set[int]] = {"confirm": set(), "proof": set()}

    def undecided(params: Params, seed: int, fresh: bool) -> float:
        noise = 1 + 0.05 * math.sin(1000 * seed * params.lr)
        return noise**20 * (0.6 if params == today else 0.3)

    for seed in range(3):
        found: set[int] = set()
        for model in (both_faults, undecided):
            _, engine = decide(model, seed=seed)
            for spec in engine.specs:
                noisy[spec.purpose].add(spec.seed)
                found.add(spec.seed)
        assert {item // SEEDS_PER_RUN for item in found} == {seed}
    assert not noisy["confirm"] & noisy["proof"]
    assert min(noisy["proof"]) == PROOF_SEEDS


def test_an_answer_that_is_open_gets_more_seeds_and_not_for_ever(
    decide: Decide, today: Params, budget: BudgetSettings
) -> None:
    def open_for_ever(params: Params, seed: int, fresh: bool) -> float:
        return 0.5 if params == today else 0.5 * (0.1 if seed % budget.seeds == 0 else 1.02)

    answer, engine = decide(open_for_ever)
    assert (answer.decision, answer.recommended, answer.changes) == (KEEP, today, ())
    assert "within the noise of the seeds" in answer.reason
    assert len({spec.seed for spec in engine.specs}) == MAX_ROUNDS * budget.seeds


def test_an_answer_that_is_clear_takes_one_round(decide: Decide, both_faults: Model, budget: BudgetSettings) -> None:
    _, engine = decide(both_faults)
    assert len({spec.seed for spec in engine.specs if spec.purpose == "confirm"}) == budget.seeds


@pytest.mark.parametrize(("horizon", "steps", "proof"), [(5000, 600, 1200), (1000, 600, 1000), (100, 100, 100)])
def test_a_proof_takes_twice_the_steps_of_what_chose_and_nothing_more_than_the_long_run(
    horizon: int, steps: int, proof: int, decide: Decide, both_faults: Model
) -> None:
    answer, engine = decide(both_faults, horizon=horizon)
    assert (answer.confirm_steps, answer.steps) == (steps, proof)
    assert {spec.steps for spec in engine.specs if spec.purpose == "confirm"} == {steps}
    assert {spec.steps for spec in engine.specs if spec.purpose == "proof"} == {proof}


def test_seeds_that_differ_too_much_are_no_reason_to_keep_or_change(decide: Decide, today: Params) -> None:
    def wild(params: Params, seed: int, fresh: bool) -> float:
        return 1.0 if params == today else math.exp(-0.1 + 4 * math.sin(1000 * seed))

    answer, _ = decide(wild)
    assert answer.decision == CANNOT_TELL
    assert answer.recommended == today
    assert "budget.seeds" in answer.reason
