"""The climb in learning rates around the best candidate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.advise.refine import MAX_STEPS, STEP, learning_rate, level, shorter_warmups
from preflight.core.params import Params

Bench = Callable[[Sequence[Params], int], list[Mapping[int, float]]]
ANYWHERE = (0.0, math.inf)


def valley(best: float, *, wall: float = math.inf, noise: float = 0.0) -> tuple[Bench, list[float]]:
    """Scores with a valley at ``best``, lost beyond ``wall``; seeds differ by their level and by ``noise``."""
    asked: list[float] = []

    def score(lr: float, seed: int) -> float:
        if lr >= wall:
            return math.inf
        wobble = noise * math.sin(1e5 * lr * (seed + 1))
        return (1 + 0.1 * seed) * 0.1 * math.exp(0.8 * math.log10(lr / best) ** 2 + wobble)

    def measure(settings: Sequence[Params], rounds: int) -> list[Mapping[int, float]]:
        asked.extend(params.lr for params in settings)
        return [{seed: score(params.lr, seed) for seed in range(5 * rounds)} for params in settings]

    return measure, asked


@given(start=st.floats(-0.9, 0.9), best=st.floats(-4, -1))
def test_it_finds_a_valley_within_a_decade(start: float, best: float) -> None:
    measure, asked = valley(10**best)
    chosen, around = learning_rate(Params(lr=10 ** (best + start), batch_size=8), measure, ANYWHERE)
    assert abs(math.log10(chosen.lr) - best) < 0.03
    assert len(asked) == len(set(asked)) == len(around)
    assert [near.lr for near in around] == sorted(near.lr for near in around)


@given(st.floats(-0.6, 0.6))
def test_noise_of_single_runs_moves_it_little(start: float) -> None:
    measure, _ = valley(0.01, noise=0.03)
    chosen, _ = learning_rate(Params(lr=0.01 * 10**start, batch_size=8), measure, ANYWHERE)
    assert abs(math.log10(chosen.lr / 0.01)) < 0.25


def test_it_stays_away_from_rates_that_are_lost() -> None:
    measure, _ = valley(0.02, wall=0.018)
    chosen, around = learning_rate(Params(lr=0.01, batch_size=8), measure, ANYWHERE)
    assert chosen.lr < 0.0125
    assert around[-1].worst == math.inf


def test_it_does_not_leave_the_users_bounds() -> None:
    measure, asked = valley(1.0)
    chosen, _ = learning_rate(Params(lr=0.01, batch_size=8), measure, (0.002, 0.02))
    assert 0.002 <= min(asked) <= max(asked) <= 0.02
    assert 0.01 <= chosen.lr <= 0.02


def test_it_does_not_climb_without_end() -> None:
    measure, asked = valley(100.0)
    learning_rate(Params(lr=1.0, batch_size=8), measure, ANYWHERE)
    assert 10 ** (STEP * MAX_STEPS) <= max(asked) < 10 ** (STEP * (MAX_STEPS + 2.1))


def test_nothing_but_the_learning_rate_changes() -> None:
    measure, _ = valley(0.1)
    start = Params(lr=0.03, batch_size=8, warmup_fraction=0.1, normalization={"x": "standardize"})
    chosen, _ = learning_rate(start, measure, ANYWHERE)
    assert set(chosen.changes_from(start)) == {"lr"}


def test_a_lost_run_weighs_and_does_not_end_it() -> None:
    assert level({1: 0.1, 2: math.inf}) == pytest.approx((math.log(0.1) + math.log(10)) / 2)
    assert level({1: -3.0, 2: 1.0}) == -1.0


def test_beside_a_wall_it_keeps_to_the_flat_side() -> None:
    """As digits with Adam: a rate and those below it do the same, and the next one above does far worse."""
    flat = {0.0011: 0.0250, 0.002: 0.0242, 0.0036: 0.0245, 0.0064: 0.0240, 0.011: 0.0524}

    def measure(settings: Sequence[Params], rounds: int) -> list[Mapping[int, float]]:
        return [dict.fromkeys(range(5 * rounds), flat[params.lr]) for params in settings]

    chosen, _ = learning_rate(Params(lr=0.0064, batch_size=8), measure, ANYWHERE)
    assert 0.0018 < chosen.lr < 0.0045


@pytest.mark.parametrize(
    ("today", "chosen", "expected"),
    [
        (0.0, 0.1, [0.02, 0.05]),  # without one is asked for where each change is taken back
        (0.2, 0.05, [0.0, 0.02]),
        (0.0, 0.02, []),
        (0.05, 0.05, []),  # nobody has asked for another one
    ],
)
def test_warmups_shorter_than_the_chosen_one(today: float, chosen: float, expected: list[float]) -> None:
    params = Params(lr=0.01, batch_size=8)
    before, after = (params.with_values({"warmup_fraction": value}) for value in (today, chosen))
    found = shorter_warmups(before, after, (0.0, 0.02, 0.05, 0.1))
    assert [item.warmup_fraction for item in found] == expected
    assert all(set(item.changes_from(after)) == {"warmup_fraction"} for item in found)
