from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from preflight.advise import choose
from preflight.advise.choose import MAX_ROUNDS, beats_constant, best_candidate, compare, leaders, metric_is_worse
from preflight.advise.evidence import effect
from preflight.advise.recommendation import Measured
from preflight.core.params import Params

Bench = Callable[..., Any]
SWITCHES = ("clip_norm", "weight_decay", "dropout")
TODAY = Params(lr=0.1, batch_size=32, extras={"dropout": 0.0})
BEST = TODAY.with_values(dict.fromkeys(SWITCHES, 0.5))


def switched(params: Params) -> frozenset[str]:
    """Which of the three settings are not today's."""
    return frozenset(params.changes_from(TODAY))


def test_leaders_are_the_best_in_their_order(today: Params) -> None:
    found = {score: replace(today, lr=score) for score in (0.5, 0.02, 5.0, 0.2)}
    explored = [(params, score) for score, params in found.items()]
    assert leaders(explored, today, 3) == [found[0.02], found[0.2], found[0.5]]


def test_twins_lead_once(today: Params) -> None:
    """Learning rates nearer than a quarter of a decade are one; another switch makes two of them."""
    first, near, far = replace(today, lr=0.2), replace(today, lr=0.3), replace(today, lr=0.4)
    switched = near.with_values({"normalization.input": "standardize"})
    explored = [(first, 0.1), (near, 0.2), (switched, 0.3), (far, 0.4)]
    assert leaders(explored, today, 4) == [first, switched, far]


def test_todays_settings_do_not_lead_themselves(today: Params) -> None:
    other = replace(today, lr=0.2)
    same = Params(**{name: getattr(today, name) for name in Params.__dataclass_fields__})
    assert leaders([(same, 0.1), (other, 0.5)], today, 2) == [other]


def test_the_same_settings_lead_once(today: Params) -> None:
    one, other = replace(today, lr=0.2), replace(today, lr=0.4)
    explored = [(one, 0.1), (replace(today, lr=0.2), 0.2), (other, 0.3)]
    assert leaders(explored, today, 2) == [one, other]


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_settings_without_a_score_do_not_lead(score: float, today: Params) -> None:
    good = replace(today, lr=0.3)
    explored = [(replace(today, lr=0.2), score), (good, 0.5), (replace(today, lr=0.4), score)]
    assert leaders(explored, today, 3) == [good]


def test_nothing_explored_gives_no_leader(today: Params) -> None:
    assert leaders([], today, 3) == []
    assert leaders([(replace(today, lr=0.2), 0.5)], today, 0) == []


@pytest.mark.parametrize("layers", [[64, 64], {"depth": 2}])
def test_settings_may_hold_lists_of_the_users_file(layers: Any, today: Params) -> None:
    today = replace(today, extras={"layers": layers})
    other = replace(today, lr=0.2)
    assert leaders([(today, 0.1), (other, 0.5), (other, 0.6)], today, 2) == [other]


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_clear_answer_takes_one_round(factor: float, bench: Bench, today: Params) -> None:
    measure = bench(lambda params: factor if params.lr == 0.2 else 1.0)
    found = compare(today, replace(today, lr=0.2), measure)
    assert found.gain == pytest.approx(1 - factor)
    assert measure.rounds == [1]


def test_an_open_answer_takes_more_rounds_of_seeds(bench: Bench, today: Params) -> None:
    measure = bench(lambda params: 0.8 if params.lr == 0.2 else 1.0, noise=1.0)
    found = compare(today, replace(today, lr=0.2), measure)
    assert measure.rounds == list(range(1, len(measure.rounds) + 1))
    assert 1 <= len(measure.rounds) <= MAX_ROUNDS
    assert found.seeds == 5 * measure.rounds[-1]


def test_the_answer_stays_open_after_the_last_round(today: Params) -> None:
    asked: list[int] = []

    def measure(settings: object, rounds: int) -> list[dict[int, float]]:
        asked.append(rounds)
        seeds = range(4 * rounds)
        return [dict.fromkeys(seeds, 1.0), {seed: 0.2 if seed % 2 else 2.0 for seed in seeds}]

    found = compare(today, today, measure)
    assert asked == [1, 2, 3]
    assert found.is_undecided
    assert found.seeds == 12


def test_looking_at_several_widens_a_comparison(today: Params) -> None:
    before, after = {1: 1.0, 2: 1.1, 3: 0.9}, {1: 0.5, 2: 0.6, 3: 0.5}
    found = compare(today, today, lambda *_: [before, after], 4)
    assert found == effect(before, after, 4)


def test_the_best_candidate_has_the_largest_gain(bench: Bench, today: Params) -> None:
    candidates = [replace(today, lr=lr) for lr in (0.3, 0.1001, 0.5)]
    measure = bench(lambda params: {0.3: 0.6, 0.1001: 0.2, 0.5: 0.9}.get(params.lr, 1.0))
    best, found = best_candidate(today, candidates, measure)
    assert best == candidates[1]
    assert found.gain == pytest.approx(0.8)


def test_the_best_of_several_is_judged_by_a_wider_interval(bench: Bench, today: Params) -> None:
    candidates = [replace(today, lr=lr) for lr in (0.2, 0.3, 0.4)]
    measure = bench(lambda params: 0.3 if params.lr == 0.2 else 1.0, noise=0.05)
    best, found = best_candidate(today, candidates, measure)
    before, after = measure([today, best], 1)
    assert found == effect(before, after, 3)
    assert found.low < effect(before, after).low


def test_a_candidate_may_be_worse_than_today(bench: Bench, today: Params) -> None:
    measure = bench(lambda params: 1.0 if params.lr == today.lr else 2.0)
    best, found = best_candidate(today, [replace(today, lr=0.2)], measure)
    assert best.lr == 0.2
    assert found.is_worse


def test_an_idle_change_is_dropped(bench: Bench) -> None:
    chosen, needed = choose.minimal(TODAY, BEST, bench(lambda params: 0.5 if params.clip_norm else 1.0))
    assert switched(chosen) == {"clip_norm"}
    assert needed["clip_norm"].gain == pytest.approx(0.5)


def test_a_single_change_that_helps_is_kept(bench: Bench) -> None:
    only = TODAY.with_values({"clip_norm": 0.5})
    chosen, needed = choose.minimal(TODAY, only, bench(lambda params: 0.5 if params.clip_norm else 1.0))
    assert (chosen, set(needed)) == (only, {"clip_norm"})


def test_two_changes_that_only_help_together_are_both_kept(bench: Bench) -> None:
    measure = bench(lambda params: 0.5 if {"clip_norm", "dropout"} <= switched(params) else 1.0)
    chosen, needed = choose.minimal(TODAY, BEST, measure)
    assert switched(chosen) == {"clip_norm", "dropout"} == set(needed)
    assert all(item.gain == pytest.approx(0.5) for item in needed.values())


def test_of_two_that_stand_in_for_each_other_one_is_kept(bench: Bench) -> None:
    measure = bench(lambda params: 0.5 if {"clip_norm", "dropout"} & switched(params) else 1.0)
    chosen, _ = choose.minimal(TODAY, BEST, measure)
    assert len(switched(chosen)) == 1
    assert switched(chosen) < {"clip_norm", "dropout"}


def test_changes_that_only_noise_tells_apart_stay_together_where_they_are_proved_together() -> None:
    pair = TODAY.with_values({"clip_norm": 0.5, "dropout": 0.5})
    by_changes = {0: [1.0], 1: [0.4, 1.9, 0.35, 1.8, 0.9], 2: [0.5, 0.8, 0.6, 0.7, 0.65]}

    def measure(settings: Any, rounds: int) -> list[dict[int, float]]:
        pattern = [by_changes[len(switched(params))] for params in settings]
        return [{seed: scores[seed % len(scores)] for seed in range(5 * rounds)} for scores in pattern]

    chosen, needed = choose.minimal(TODAY, pair, measure)
    assert chosen == pair
    assert not any(gain.is_better for gain in needed.values())


def test_a_change_that_harms_is_dropped(bench: Bench) -> None:
    measure = bench(lambda params: 0.4 * (2.0 if params.clip_norm else 1.0) * (1.0 if params.weight_decay else 2.0))
    chosen, _ = choose.minimal(TODAY, BEST, measure)
    assert switched(chosen) == {"weight_decay"}


def test_a_gain_too_small_to_matter_does_not_keep_a_change(bench: Bench) -> None:
    measure = bench(lambda params: (0.5 if params.clip_norm else 1.0) * (0.99 if params.extras["dropout"] else 1.0))
    assert switched(choose.minimal(TODAY, BEST, measure)[0]) == {"clip_norm"}


def weighed(*weights: float) -> Params:
    return TODAY.with_values({f"loss_weights.{name}": weight for name, weight in zip("abc", weights, strict=True)})


def test_loss_weights_that_earn_nothing_are_taken_back_together(bench: Bench) -> None:
    today, best = weighed(1, 1, 1), weighed(0.1, 3, 7).with_values({"clip_norm": 0.5})
    measure = bench(lambda params: 0.5 if params.clip_norm else 1.0)
    chosen, _ = choose.minimal(today, best, measure)
    assert chosen == today.with_values({"clip_norm": 0.5})
    assert len(measure.trained) == 3  # today's, all changes, the weights taken back; without the clip it is today's


def test_a_loss_weight_that_earns_its_place_is_found_among_several(bench: Bench) -> None:
    today, best = weighed(1, 1, 1), weighed(0.1, 3, 7)
    chosen, _ = choose.minimal(today, best, bench(lambda params: 0.5 if params.loss_weights["b"] == 3 else 1.0))
    assert chosen == weighed(1, 3, 1)


def test_nothing_changed_needs_no_measurement_to_be_minimal(bench: Bench) -> None:
    assert choose.minimal(TODAY, TODAY, bench(lambda _: 1.0)) == (TODAY, {})


def test_a_parameter_that_today_leaves_to_the_factory_is_left_out_and_not_none(bench: Bench) -> None:
    bare = replace(TODAY, extras={})
    measure = bench(lambda params: 0.5 if params.clip_norm else 1.0)
    chosen, _ = choose.minimal(bare, bare.with_values({"clip_norm": 0.5, "dropout": 0.5}), measure)
    assert chosen == replace(bare, clip_norm=0.5)
    assert [params for params in measure.trained.values() if params.extras.get("dropout", 0) is None] == []


@given(st.lists(st.floats(0.1, 2.0), min_size=8, max_size=8))
def test_what_is_left_is_needed_and_as_good_as_the_best(table: list[float]) -> None:
    def formula(params: Params) -> float:
        return table[sum(2**index for index, name in enumerate(SWITCHES) if name in switched(params))]

    def measure(settings: Any, rounds: int) -> list[dict[int, float]]:
        return [dict.fromkeys(range(5 * rounds), formula(params)) for params in settings]

    assume(formula(BEST) < 0.98 * formula(TODAY))
    chosen, needed = choose.minimal(TODAY, BEST, measure)
    assert set(needed) == switched(chosen) <= switched(BEST)
    assert formula(chosen) <= 0.98 * formula(TODAY) * (1 + 1e-9)
    for name in needed:
        without = formula(chosen.undone([name], TODAY))
        is_no_fix = without >= 0.98 * formula(TODAY) * (1 - 1e-9)
        assert is_no_fix or formula(chosen) <= 0.98 * without * (1 + 1e-9)
    assert formula(chosen) <= formula(BEST) / 0.98**3 * (1 + 1e-9)


def test_every_change_has_its_effect_alone_and_its_effect_last(bench: Bench) -> None:
    factors = {"clip_norm": 0.5, "dropout": 0.8}
    measure = bench(
        lambda params: np.prod([factors[name] for name in switched(params)]) if len(switched(params)) < 2 else 0.1
    )
    chosen = TODAY.with_values({"clip_norm": 0.5, "dropout": 0.5})
    _, needed = choose.minimal(TODAY, chosen, measure)
    found = choose.changes(TODAY, chosen, needed, measure)
    assert [(item.name, item.old, item.new) for item in found] == [("clip_norm", None, 0.5), ("dropout", 0.0, 0.5)]
    assert [item.alone.gain for item in found] == pytest.approx([0.5, 0.2])
    assert [item.needed.gain for item in found] == pytest.approx([1 - 0.1 / 0.8, 1 - 0.1 / 0.5])


def test_no_changes_have_no_effects(bench: Bench) -> None:
    assert choose.changes(TODAY, TODAY, {}, bench(lambda _: 1.0)) == ()


@pytest.mark.parametrize(
    ("scores", "beats"),
    [
        ([0.9, 0.9, 0.9], True),
        ([0.9, 0.9, 10.0], True),
        ([0.9, 1.1, 10.0], False),
        ([1.0, 1.0, 1.0], False),
        ([0.97], True),
        ([0.999], False),
    ],
)
def test_settings_beat_a_constant_on_most_seeds(scores: list[float], beats: bool) -> None:
    assert beats_constant(dict(enumerate(scores))) is beats


def measured(*metrics: float) -> Measured:
    return Measured(dict.fromkeys(range(len(metrics)), 1.0), dict(enumerate(metrics)))


@pytest.mark.parametrize(("goal", "worse"), [("maximize", True), ("minimize", False)])
def test_a_metric_that_falls_is_worse_where_more_is_better(goal: str, worse: bool) -> None:
    before, after = measured(0.90, 0.91, 0.92), measured(0.80, 0.82, 0.81)
    assert metric_is_worse(before, after, goal) is worse
    assert metric_is_worse(after, before, goal) is not worse


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_a_metric_within_its_noise_is_not_worse(goal: str) -> None:
    before, after = measured(0.9, 0.8, 0.7, 0.8), measured(0.8, 0.9, 0.69, 0.79)
    assert not metric_is_worse(before, after, goal)
    assert not metric_is_worse(after, before, goal)


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_the_same_metric_is_not_worse(goal: str) -> None:
    assert not metric_is_worse(measured(0.5, 0.6, 0.7), measured(0.5, 0.6, 0.7), goal)


@pytest.mark.parametrize("before", [(0.9,), (0.9, math.nan), (math.nan, math.nan), (0.9, math.inf)])
def test_a_metric_of_fewer_than_two_seeds_tells_nothing(before: tuple[float, ...]) -> None:
    after = measured(*[0.1] * len(before))
    assert not metric_is_worse(measured(*before), after, "maximize")


def test_a_seed_without_a_metric_does_not_hide_the_others() -> None:
    assert metric_is_worse(measured(0.9, 0.91, math.nan), measured(0.5, 0.52, 0.5), "maximize")
