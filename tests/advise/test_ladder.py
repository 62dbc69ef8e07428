from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from preflight.advise.ladder import (
    BEST,
    EXPLODES,
    NO_PROGRESS,
    NOTHING_GAINED,
    STABLE,
    TOO_HIGH,
    TOO_SLOW,
    UNSTEADY,
    Rung,
    ladder_label,
    lr_bounds,
    read_ladder,
)
from preflight.core.params import Params
from preflight.telemetry.recording import Recording

Record = Callable[..., Recording]

FLAT = np.full(40, 1.6)
FALLING = np.linspace(1.6, 1.5, 40)
STEEPER = np.linspace(1.6, 1.2, 40)
RUNAWAY = np.linspace(1.6, 16.0, 40)
BROKEN = np.where(np.arange(40) < 20, FALLING, np.nan)


def verdicts(rungs: list[Rung]) -> dict[float, str]:
    return {rung.lr: rung.verdict for rung in rungs}


def test_a_ladder_from_too_slow_to_exploding(record: Record) -> None:
    losses = {1e-5: FLAT, 1e-4: FALLING, 1e-3: STEEPER, 1e-2: FLAT, 1e-1: RUNAWAY}
    rungs = read_ladder([record(lr, values) for lr, values in losses.items() for _ in range(3)])
    assert verdicts(rungs) == {1e-5: TOO_SLOW, 1e-4: STABLE, 1e-3: BEST, 1e-2: TOO_HIGH, 1e-1: EXPLODES}


def test_rungs_rise_however_the_runs_came_in(record: Record) -> None:
    runs = [record(lr, FALLING) for lr in (1e-2, 1e-4, 1e-3, 1e-4)]
    rungs = read_ladder(runs)
    assert [(rung.lr, rung.seeds) for rung in rungs] == [(1e-4, 2), (1e-3, 1), (1e-2, 1)]
    assert read_ladder(runs[::-1]) == rungs


@pytest.mark.parametrize(
    ("losses", "growth"), [(STEEPER, 1001.0), (BROKEN, 1.5), (RUNAWAY, 1.5), (STEEPER, math.inf), (STEEPER, math.nan)]
)
def test_a_rung_explodes_in_its_gradient_or_in_its_loss(losses: np.ndarray, growth: float, record: Record) -> None:
    (rung,) = read_ladder([record(1e-3, losses, growth) for _ in range(3)])
    assert (rung.verdict, rung.exploded) == (EXPLODES, 3)


def test_large_but_steady_gradients_are_healthy(record: Record) -> None:
    (rung,) = read_ladder([record(1e-3, FALLING, growth=25.0) for _ in range(3)])
    assert rung.verdict == BEST


def test_gradients_that_grow_make_a_rung_unsteady(record: Record) -> None:
    rungs = read_ladder([record(lr, FALLING, growth) for lr, growth in ((1e-4, 1.5), (1e-3, 100.0)) for _ in range(3)])
    assert verdicts(rungs) == {1e-4: BEST, 1e-3: UNSTEADY}


def test_one_wild_seed_of_three_does_not_overturn_the_verdict(record: Record) -> None:
    runs = [record(3e-5, FALLING, growth) for growth in (1.5, 300.0, 1.5)]
    rungs = read_ladder([*runs, *(record(1e-4, STEEPER) for _ in range(3))])
    assert verdicts(rungs) == {3e-5: STABLE, 1e-4: BEST}
    assert (rungs[0].median_max_norm, rungs[0].worst_max_norm) == (pytest.approx(1.5), pytest.approx(300.0))


def test_one_exploded_seed_of_three_makes_a_rung_unsteady_and_not_the_best(record: Record) -> None:
    runs = [record(1e-4, FALLING) for _ in range(3)]
    runs += [record(1e-3, losses) for losses in (FALLING + 0.1, FALLING + 0.1, BROKEN)]
    rungs = read_ladder(runs)
    assert verdicts(rungs) == {1e-4: BEST, 1e-3: UNSTEADY}
    assert [rung.exploded for rung in rungs] == [0, 1]


def test_a_seed_that_broke_does_not_hide_what_the_others_reached(record: Record) -> None:
    runs = [record(1e-4, losses) for losses in (FALLING, BROKEN, FALLING)]
    runs += [record(1e-3, STEEPER) for _ in range(3)]
    rungs = read_ladder(runs)
    assert rungs[0].final_loss == pytest.approx(np.median(FALLING[-10:]))
    assert verdicts(rungs) == {1e-4: UNSTEADY, 1e-3: BEST}


@pytest.mark.parametrize(("good", "bad", "verdict"), [(1, 1, EXPLODES), (2, 1, UNSTEADY), (1, 2, EXPLODES)])
def test_half_of_the_seeds_are_enough_to_explode(good: int, bad: int, verdict: str, record: Record) -> None:
    runs = [record(1e-3, FALLING) for _ in range(3)]
    runs += [record(1e-2, FALLING + 1) for _ in range(good)] + [record(1e-2, RUNAWAY) for _ in range(bad)]
    assert verdicts(read_ladder(runs))[1e-2] == verdict


@pytest.mark.parametrize(("falling", "flat", "verdict"), [(2, 1, BEST), (1, 1, NO_PROGRESS), (1, 2, NO_PROGRESS)])
def test_most_seeds_must_learn(falling: int, flat: int, verdict: str, record: Record) -> None:
    runs = [record(1e-3, FALLING) for _ in range(falling)] + [record(1e-3, FLAT) for _ in range(flat)]
    (rung,) = read_ladder(runs)
    assert (rung.verdict, rung.decreasing) == (verdict, verdict == BEST)


def test_where_nothing_learns_there_is_no_telling_slow_from_high(record: Record) -> None:
    rungs = read_ladder([record(lr, FLAT) for lr in (1e-4, 1e-3)] + [record(1e-1, RUNAWAY)])
    assert verdicts(rungs) == {1e-4: NO_PROGRESS, 1e-3: NO_PROGRESS, 1e-1: EXPLODES}


def test_the_best_is_the_lowest_at_the_end_and_not_on_the_way(record: Record) -> None:
    dips = np.concatenate([np.full(10, 1.6), np.full(15, 0.5), np.full(15, 1.4)])
    rungs = read_ladder([record(1e-4, STEEPER), record(1e-3, dips)])
    assert verdicts(rungs) == {1e-4: BEST, 1e-3: STABLE}


def test_where_it_exploded_is_named_by_most_seeds(record: Record) -> None:
    runs = [record(1e-1, RUNAWAY, 1e6, worst=name) for name in ("head.weight", "qkv.weight", "qkv.weight")]
    (rung,) = read_ladder(runs)
    assert rung.exploded_at == "qkv.weight"
    (calm,) = read_ladder([record(1e-4, FALLING)])
    assert calm.exploded_at == ""


def test_runs_that_crashed_before_a_step_are_left_out(record: Record) -> None:
    runs = [
        record(1e-3, FALLING),
        record(1e-3, telemetry=False, status="crashed"),
        record(1e-3, steps=0, status="crashed"),
        record(1e-2, steps=0, status="out_of_memory"),
    ]
    (rung,) = read_ladder(runs)
    assert (rung.lr, rung.seeds, rung.exploded) == (1e-3, 1, 0)


def test_where_all_crashed_there_is_no_ladder(record: Record) -> None:
    assert read_ladder([record(1e-3, steps=0, status="crashed"), record(1e-3, telemetry=False)]) == []
    assert read_ladder([]) == []


def test_a_run_that_stopped_where_it_diverged_counts_as_exploded(record: Record) -> None:
    (rung,) = read_ladder([record(1e-1, BROKEN, steps=21, status="diverged")])
    assert (rung.verdict, rung.exploded) == (EXPLODES, 1)
    assert rung.final_loss == math.inf


def test_a_ladder_is_named_by_the_normalizations_in_use(record: Record) -> None:
    (rung,) = read_ladder([record(1e-3, normalization={"a": "robust", "b": "none", "c": "standardize"})])
    used = Params(lr=1e-3, batch_size=8, normalization={"a": "robust", "b": "none", "c": "standardize"})
    assert rung.normalization == ladder_label(used) == "a: robust, c: standardize"
    assert ladder_label(replace(used, target_normalization={"y": "standardize", "z": "none"})) == (
        "a: robust, c: standardize, target y: standardize"
    )
    assert ladder_label(Params(lr=1e-3, batch_size=8, normalization={"a": "none"})) == "inputs as they are"


@pytest.fixture
def rungs(record: Record) -> list[Rung]:
    """Five rungs from 1e-5 to 1e-1, without verdicts yet."""
    (rung,) = read_ladder([record(1e-3)])
    return [replace(rung, lr=10.0**exponent, verdict="") for exponent in range(-5, 0)]


def judged(rungs: list[Rung], *verdicts: str) -> list[Rung]:
    return [replace(rung, verdict=verdict) for rung, verdict in zip(rungs, verdicts, strict=True)]


def test_bounds_lie_half_a_decade_around_what_learns(rungs: list[Rung]) -> None:
    low, high = lr_bounds(judged(rungs, TOO_SLOW, STABLE, BEST, EXPLODES, EXPLODES))
    assert (low, high) == (pytest.approx(1e-4 / math.sqrt(10)), pytest.approx(1e-3 * math.sqrt(10)))


def test_an_unsteady_rung_learns_too(rungs: list[Rung]) -> None:
    _, high = lr_bounds(judged(rungs, TOO_SLOW, BEST, UNSTEADY, TOO_HIGH, EXPLODES))
    assert high == pytest.approx(1e-3 * math.sqrt(10))


def test_a_single_rung_that_learns_gives_a_decade(rungs: list[Rung]) -> None:
    low, high = lr_bounds(judged(rungs, TOO_SLOW, BEST, TOO_HIGH, TOO_HIGH, EXPLODES))
    assert high / low == pytest.approx(10)


def test_where_nothing_learns_the_whole_ladder_is_searched(rungs: list[Rung]) -> None:
    assert lr_bounds(judged(rungs, *[NO_PROGRESS] * 4, EXPLODES)) == (rungs[0].lr, rungs[-1].lr)


def test_a_loss_that_only_came_back_from_a_spike_has_gained_nothing(record: Record) -> None:
    spiked = np.linspace(1.9, 1.61, 40)  # it falls, and ends above where others stand still
    rungs = read_ladder([record(lr, values) for lr, values in {1e-3: FLAT, 1e-1: spiked}.items() for _ in range(3)])
    assert verdicts(rungs) == {1e-3: NO_PROGRESS, 1e-1: NOTHING_GAINED}
    assert lr_bounds(rungs) == (1e-3, 1e-1)
