"""Shares against known variances. Of 20 searches each (five settings, one of them worth anything, and worth three
times the noise) that setting was told from chance in 9 over 10 trials and in 17 over 12; where none was worth
anything, none was told from chance, in 80 searches of 10 to 60 trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from preflight.advise.importance import Importance
from preflight.core.params import Params
from preflight.search.driver import Explored
from preflight.search.importance import MIN_TRIALS, importance
from preflight.telemetry import store
from preflight.trials.lab import TrialSpec
from preflight.trials.outcome import COMPLETED, DIVERGED, Outcome, Result

AXES: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1, log=True),
    "weight_decay": FloatDistribution(0, 1),
    "normalization.x": CategoricalDistribution(("none", "robust")),
    "batch_size": IntDistribution(8, 64, log=True),
}


def explored(settings: Sequence[Params], score: Callable[[Params], float]) -> list[Explored]:
    found = []
    for index, params in enumerate(settings):
        value = score(params)
        status = COMPLETED if math.isfinite(value) else DIVERGED
        result = Result(Outcome(status), value, math.nan, {}, 10, 0.1)
        found.append(Explored(TrialSpec("explore", index, params, 0, 10, 0), result))
    return found


def drawn(count: int, seed: int = 0) -> list[Params]:
    random = np.random.default_rng(seed)
    return [
        Params(
            lr=float(10 ** random.uniform(-4, 0)),
            batch_size=int(8 * 8 ** random.random()),
            weight_decay=float(random.random()),
            normalization={"x": str(random.choice(["none", "robust"]))},
        )
        for _ in range(count)
    ]


def by_name(found: Importance) -> dict[str, float]:
    return {share.name: share.share for share in found.shares}


def test_shares_are_those_of_the_variance() -> None:
    """ln score = a u + b c with u uniform over 0 to 1 and c a coin: variances a^2 / 12 and b^2 / 4, here 3 to 1."""

    def score(params: Params) -> float:
        place = (math.log10(params.lr) + 4) / 4
        return math.exp(3.0 * place + (params.normalization["x"] == "none") - 3)

    found = importance(explored(drawn(200), score), AXES, 0)
    shares = by_name(found)
    assert shares["lr"] == pytest.approx(0.75, abs=0.1)
    assert shares["normalization.x"] == pytest.approx(0.25, abs=0.1)
    assert {share.name for share in found.clear} == {"lr", "normalization.x"}
    assert all(share.low <= share.share <= share.high for share in found.shares)
    assert [share.share for share in found.shares] == sorted(shares.values(), reverse=True)


def test_of_noise_nothing_is_told() -> None:
    random = np.random.default_rng(0)
    found = importance(explored(drawn(20), lambda _: float(np.exp(random.standard_normal() - 3))), AXES, 0)
    assert found.shares
    assert not found.clear


def test_one_strong_setting_is_found_in_a_quick_search() -> None:
    found = importance(explored(drawn(20, seed=3), lambda params: params.lr), AXES, 0)
    assert [share.name for share in found.clear] == ["lr"]


def test_what_diverged_counts_as_the_worst() -> None:
    found = importance(explored(drawn(20), lambda params: math.nan if params.lr > 0.01 else 0.1), AXES, 0)
    assert found.lost == sum(params.lr > 0.01 for params in drawn(20))
    assert [share.name for share in found.clear] == ["lr"]


@pytest.mark.parametrize("value", [math.nan, 0.5], ids=["all diverged", "all the same"])
def test_equal_scores_tell_nothing(value: float) -> None:
    found = importance(explored(drawn(20), lambda _: value), AXES, 0)
    assert found.why_not == "all 20 trials have the same score"
    assert not found.shares


@pytest.mark.parametrize("count", [0, 1, 4, MIN_TRIALS - 1])
def test_few_trials_tell_nothing(count: int) -> None:
    found = importance(explored(drawn(count), lambda params: params.lr), AXES, 0)
    assert found.why_not.startswith(f"{count} trial")
    assert not found.shares


def test_a_fixed_axis_has_no_share_and_nothing_searched_is_said() -> None:
    trials = explored(drawn(MIN_TRIALS), lambda params: params.lr)
    fixed = {"weight_decay": FloatDistribution(0.5, 0.5)}
    assert importance(trials, fixed, 0).why_not == "no setting was searched"
    assert list(by_name(importance(trials, {**fixed, "lr": AXES["lr"]}, 0))) == ["lr"]


def test_todays_zero_on_a_logarithmic_axis_takes_no_part_and_a_rate_outside_does() -> None:
    axes = {**AXES, "weight_decay": FloatDistribution(1e-4, 1, log=True)}
    outside, zero = drawn(1)[0].with_values({"lr": 3.0}), drawn(1)[0].with_values({"weight_decay": 0.0})
    found = importance(explored([zero, outside, *drawn(MIN_TRIALS, seed=1)], lambda params: params.lr), axes, 0)
    assert found.trials == MIN_TRIALS + 1
    assert not found.why_not


def test_a_choice_that_was_rounded_to_be_written_is_still_that_choice() -> None:
    axes = {**AXES, "warmup_fraction": CategoricalDistribution((0.0, 0.02, 0.1))}
    settings = [
        params.with_values({"warmup_fraction": (0.0, 0.0203, 0.0976)[i % 3]}) for i, params in enumerate(drawn(12))
    ]
    assert importance(explored(settings, lambda params: params.lr), axes, 0).trials == 12


def test_a_factorys_own_default_is_a_choice() -> None:
    axes = {"lr": AXES["lr"], "dropout": CategoricalDistribution((None, 0.1))}
    settings = [params.with_values({"dropout": 0.1}) if i % 2 else params for i, params in enumerate(drawn(12))]
    assert set(by_name(importance(explored(settings, lambda params: params.lr), axes, 0))) == {"lr", "dropout"}


def test_losses_below_zero_are_taken_as_they_are() -> None:
    found = importance(explored(drawn(20), lambda params: math.log10(params.lr)), AXES, 0)
    assert found.shares[0].name == "lr"


def test_the_same_seed_gives_the_same_shares() -> None:
    trials = explored(drawn(12), lambda params: params.lr)
    assert importance(trials, AXES, 1) == importance(trials, AXES, 1)


def test_it_survives_the_way_through_a_file(tmp_path: Path) -> None:
    found = importance(explored(drawn(12), lambda params: params.lr), AXES, 0)
    path = tmp_path / store.IMPORTANCE
    store.write_json(path, found.as_dict())
    assert Importance.from_dict(store.read_json(path)) == found
