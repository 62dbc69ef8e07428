"""Orders of short trials beside those of confirming runs."""

from __future__ import annotations

import math

from preflight.advise.agreement import Agreement, agreement


def seeds(middle: float, spread: float = 0.01) -> dict[int, float]:
    return {seed: middle * (1 + spread * math.sin(7 * seed + 100 * middle)) for seed in range(5)}


def test_the_same_order_is_not_reversed() -> None:
    confirmed = {"a": seeds(0.2), "b": seeds(0.4), "c": seeds(0.8)}
    assert agreement({"a": 0.5, "b": 0.6, "c": 0.7}, confirmed) == Agreement(3, 3, 0)
    assert agreement({"a": 0.7, "b": 0.6, "c": 0.5}, confirmed) == Agreement(3, 3, 3)
    assert agreement({"a": 0.6, "b": 0.5, "c": 0.7}, confirmed) == Agreement(3, 3, 1)


def test_what_the_seeds_cannot_tell_apart_has_no_order() -> None:
    confirmed = {"a": seeds(0.4, 0.5), "b": seeds(0.41, 0.5), "c": seeds(0.04)}
    assert agreement({"a": 0.7, "b": 0.6, "c": 0.5}, confirmed) == Agreement(3, 2, 0)


def test_only_settings_that_were_run_at_both_lengths_count() -> None:
    assert agreement({"a": 0.5, "b": 0.6}, {"b": seeds(0.1), "c": seeds(0.2)}) == Agreement(0, 0, 0)


def test_two_short_trials_that_were_lost_have_no_order() -> None:
    confirmed = {"a": seeds(0.2), "b": seeds(0.4)}
    assert agreement({"a": 10.0, "b": 10.0}, confirmed) == Agreement(1, 1, 0)


def test_a_run_that_is_lost_is_the_worse_one() -> None:
    confirmed = {"a": dict.fromkeys(range(5), math.inf), "b": seeds(0.4)}
    assert agreement({"a": 0.3, "b": 0.5}, confirmed) == Agreement(1, 1, 1)
