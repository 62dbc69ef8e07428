from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from preflight.advise.recommendation import CANNOT_TELL, CHANGE, KEEP, Recommendation
from preflight.advise.refine import Room
from preflight.core.params import Params

# (settings, seed, whether on fresh seeds) -> (score, metric)
Model = Callable[[Params, int, bool], "float | tuple[float, float]"]
Decide = Callable[..., tuple[Recommendation, Any]]
Wobble = Callable[[int], float]


def is_kept(answer: Recommendation) -> bool:
    return answer.decision == KEEP and answer.recommended == answer.today and answer.changes == ()


def test_settings_that_are_better_are_recommended(
    decide: Decide, both_faults: Model, today: Params, better: Params
) -> None:
    answer, _ = decide(both_faults)
    assert answer.decision == CHANGE
    assert answer.today == today
    assert answer.recommended == better
    assert answer.gain is not None
    assert answer.gain.gain == pytest.approx(1 - 1 / 8)
    assert answer.reason.startswith("on fresh seeds it takes 88%")


def test_every_change_has_its_effect_alone_and_on_top_of_the_others(decide: Decide, both_faults: Model) -> None:
    answer, _ = decide(both_faults)
    lr, normalization = answer.changes
    assert (lr.name, lr.old, lr.new) == ("lr", 0.3, 0.003)
    assert (lr.alone.gain, lr.needed.gain) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (normalization.name, normalization.new) == ("normalization.input", "standardize")
    assert normalization.alone.gain == pytest.approx(0.75)


def test_a_change_that_earns_nothing_is_left_out(
    decide: Decide, both_faults: Model, today: Params, better: Params
) -> None:
    idle = better.with_values({"warmup_fraction": 0.1, "weight_decay": 0.1})
    answer, engine = decide(both_faults, [idle])
    assert answer.recommended == better
    assert [change.name for change in answer.changes] == ["lr", "normalization.input"]
    assert all(spec.params in (today, better) for spec in engine.specs if spec.purpose == "proof")


def test_a_change_that_only_works_with_another_one_stays(decide: Decide, wobble: Wobble, better: Params) -> None:
    def together(params: Params, seed: int, fresh: bool) -> float:
        return wobble(seed) * (0.1 if params == better else 0.5)

    answer, _ = decide(together)
    assert answer.recommended == better
    assert [change.alone.is_better for change in answer.changes] == [False, False]
    assert [change.needed.is_better for change in answer.changes] == [True, True]


def test_without_candidates_todays_settings_stay(decide: Decide, both_faults: Model, today: Params) -> None:
    answer, engine = decide(both_faults, [])
    assert (answer.decision, answer.recommended, answer.changes) == (CANNOT_TELL, today, ())
    assert "budget.trials" in answer.reason
    assert engine.specs == []


def test_when_nothing_is_better_todays_settings_stay(decide: Decide, wobble: Wobble, today: Params) -> None:
    answer, engine = decide(lambda params, seed, fresh: wobble(seed) * (0.1 if params == today else 0.2))
    assert is_kept(answer)
    assert "yours are as good or better" in answer.reason
    assert answer.before is not None
    assert {spec.purpose for spec in engine.specs} == {"confirm"}


def test_equal_scores_are_no_reason_to_change(decide: Decide, wobble: Wobble) -> None:
    assert is_kept(decide(lambda params, seed, fresh: wobble(seed))[0])


def test_a_gain_within_the_noise_is_no_reason_to_change(decide: Decide, today: Params) -> None:
    def noisy(params: Params, seed: int, fresh: bool) -> float:
        return 0.5 * (1 + 0.5 * math.sin(1000 * seed * params.lr)) * (1.0 if params == today else 0.95)

    answer, _ = decide(noisy)
    assert is_kept(answer)


def test_a_gain_too_small_for_a_line_is_no_reason_to_change(decide: Decide, wobble: Wobble, today: Params) -> None:
    answer, _ = decide(lambda params, seed, fresh: wobble(seed) * (0.5 if params == today else 0.495))
    assert is_kept(answer)
    assert "too little to change a line for" in answer.reason


def test_the_gain_on_the_seeds_that_chose_stands_beside_the_proof(
    decide: Decide, wobble: Wobble, today: Params, better: Params
) -> None:
    def shrinks(params: Params, seed: int, fresh: bool) -> float:
        return wobble(seed) * (0.8 if params.lr == today.lr else 0.6 if fresh else 0.4)

    answer, engine = decide(shrinks)
    assert (answer.decision, answer.recommended.lr) == (CHANGE, better.lr)
    assert answer.confirmed is not None
    assert answer.gain is not None
    assert (answer.confirmed.gain, answer.gain.gain) == (pytest.approx(0.5), pytest.approx(0.25))
    done = [(spec.purpose, spec.params.key(), spec.seed) for spec in engine.specs]
    assert len(set(done)) == len(done)  # nothing is trained for it


def test_a_gain_that_does_not_repeat_on_fresh_seeds_is_no_reason_to_change(
    decide: Decide, both_faults: Model, wobble: Wobble
) -> None:
    def lucky(params: Params, seed: int, fresh: bool) -> float:
        return wobble(seed) if fresh else both_faults(params, seed, fresh)

    answer, _ = decide(lucky)
    assert is_kept(answer)
    assert answer.reason.startswith(
        "the gain did not repeat on fresh seeds, where lr=0.003, normalization.input=standardize takes 0%"
    )
    assert answer.gain is not None
    assert answer.gain.gain == pytest.approx(0, abs=1e-9)


def test_a_loss_on_fresh_seeds_is_no_reason_to_change(decide: Decide, both_faults: Model) -> None:
    def worse(params: Params, seed: int, fresh: bool) -> float:
        score = both_faults(params, seed, fresh)
        return 1 / score if fresh else score

    assert is_kept(decide(worse)[0])


def test_what_is_no_better_than_a_constant_cannot_be_told_apart_from_a_dead_network(
    decide: Decide, both_faults: Model, today: Params
) -> None:
    answer, _ = decide(lambda params, seed, fresh: 12 * both_faults(params, seed, fresh))
    assert answer.decision == CANNOT_TELL
    assert "no better than predicting a constant" in answer.reason
    assert answer.recommended == today
    assert answer.changes == ()
    assert answer.before is not None
    assert answer.after is not None


def test_a_hair_better_than_a_constant_is_no_better_than_a_constant(
    decide: Decide, wobble: Wobble, better: Params
) -> None:
    def dead(params: Params, seed: int, fresh: bool) -> float:
        return 0.999 if params == better else 1.25 * wobble(seed)

    assert decide(dead)[0].decision == CANNOT_TELL


@pytest.mark.parametrize(("goal", "decision"), [("minimize", CANNOT_TELL), ("maximize", CHANGE), (None, CHANGE)])
def test_a_metric_that_gets_worse_is_the_users_to_decide(
    goal: str | None, decision: str, decide: Decide, both_faults: Model, today: Params
) -> None:
    def at_odds(params: Params, seed: int, fresh: bool) -> tuple[float, float]:
        score = both_faults(params, seed, fresh)
        return score, 1 / score

    answer, _ = decide(at_odds, goal=goal)
    assert answer.decision == decision
    if decision == CANNOT_TELL:
        assert "the metric gets worse" in answer.reason
        assert answer.recommended == today
        assert answer.changes == ()


def test_a_metric_that_wobbles_is_no_objection(decide: Decide, both_faults: Model) -> None:
    def steady(params: Params, seed: int, fresh: bool) -> tuple[float, float]:
        return both_faults(params, seed, fresh), 1 + 0.05 * math.sin(1000 * seed * params.lr)

    assert decide(steady, goal="minimize")[0].decision == CHANGE


def test_a_warmup_is_as_short_as_the_score_allows(decide: Decide, wobble: Wobble, better: Params) -> None:
    def needs_some(params: Params, seed: int, fresh: bool) -> float:
        return wobble(seed) * (0.4 if params.warmup_fraction >= 0.02 else 0.6)

    candidate = better.with_values({"warmup_fraction": 0.1})
    room = Room(warmups=(0.0, 0.01, 0.02, 0.05, 0.1))
    answer, _ = decide(needs_some, [candidate], room=room)
    assert [(change.name, change.new) for change in answer.changes] == [("warmup_fraction", 0.02)]
    answer, _ = decide(needs_some, [candidate])
    assert [(change.name, change.new) for change in answer.changes] == [("warmup_fraction", 0.1)]


def test_settings_that_diverge_today_are_worse_than_any_that_do_not(decide: Decide, both_faults: Model) -> None:
    def today_diverges(params: Params, seed: int, fresh: bool) -> float:
        return both_faults(params, seed, fresh) if params.lr < 0.1 else math.nan

    answer, _ = decide(today_diverges)
    assert answer.decision == CHANGE
    assert answer.before is not None
    assert set(answer.before.scores.values()) == {math.inf}


def test_the_better_of_the_candidates_is_proved(
    decide: Decide, both_faults: Model, today: Params, better: Params
) -> None:
    worse = today.with_values({"lr": 0.05})
    answer, _ = decide(both_faults, [worse, better])
    assert answer.recommended == better


def test_what_is_proved_is_what_can_be_written(
    decide: Decide, both_faults: Model, today: Params, better: Params
) -> None:
    def finish(params: Params) -> Params:
        return params if params == today else replace(params, warmup_fraction=0.0625)

    answer, engine = decide(both_faults, finish=finish)
    proved = {spec.params.key(): spec.params for spec in engine.specs if spec.purpose == "proof"}
    assert list(proved.values()) == [today, finish(better)]
    assert answer.recommended == finish(better)
    assert [change.name for change in answer.changes] == ["lr", "normalization.input"]


def test_an_answer_survives_the_run_directory(decide: Decide, both_faults: Model, wobble: Wobble) -> None:
    for model in (both_faults, lambda params, seed, fresh: wobble(seed)):
        answer, _ = decide(model)
        assert Recommendation.from_dict(answer.as_dict()) == answer
