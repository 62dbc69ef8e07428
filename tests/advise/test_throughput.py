from __future__ import annotations

from typing import Any

import pytest

from preflight.advise.throughput import best_workers, speed, why_untried
from preflight.core.finding import CONFIRMED, REFUTED, UNDECIDED

STEADY = (100.0, 101.0, 99.0, 100.0)


def measured(workers: int, *rates: float, size: int = 40, failed: str = "") -> dict[str, Any]:
    return {"workers": workers, "batch_size": size, "samples_per_s": list(rates), "failed": failed}


def fact(*variants: dict[str, Any], failed: str = "") -> dict[str, Any]:
    return {"variants": list(variants), "failed": failed}


def times(factor: float) -> list[float]:
    return [factor * rate for rate in STEADY]


def test_a_speed_is_the_ratio_of_the_rounds_with_its_noise() -> None:
    found = speed(STEADY, [800.0, 812.0, 790.0, 795.0])
    assert found.ratio == pytest.approx(8.0, rel=0.01)
    assert 7.8 < found.low < found.ratio < found.high < 8.2
    assert (found.before_per_s, found.rounds, found.verdict) == (100.0, 4, CONFIRMED)
    assert str(found).startswith("100 -> 798 samples/s, 7.99x (7.")


def test_what_slows_every_variant_of_a_round_is_no_noise() -> None:
    slow = [1.0, 0.1, 0.5, 2.0]
    found = speed([100 * pace for pace in slow], [300 * pace for pace in slow])
    assert (found.low, found.high) == (pytest.approx(3.0), pytest.approx(3.0))


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (times(1.2), CONFIRMED),
        (times(1.02), REFUTED),  # not worth a process
        (times(0.5), REFUTED),
        ([300.0, 90.0, 80.0, 310.0], UNDECIDED),
        ([400.0, 10.0, 90.0, 50.0], UNDECIDED),  # slower on average, and that by chance
    ],
)
def test_a_speed_is_confirmed_beyond_the_noise_only(after: list[float], verdict: str) -> None:
    assert speed(STEADY, after).verdict == verdict


def test_one_round_shows_no_noise_and_so_proves_nothing() -> None:
    found = speed([100.0], [800.0])
    assert (found.verdict, found.interval) == (UNDECIDED, "interval unknown")


def test_the_fewest_workers_are_taken_that_are_about_as_fast_as_the_fastest() -> None:
    doubled = measured(0, *times(1.05), size=80)
    found = best_workers(
        fact(measured(0, *STEADY), doubled, measured(4, *times(7.9)), measured(8, *times(8.0)), measured(2, *times(4)))
    )
    assert found is not None
    assert (found[0], found[1].ratio) == (4, pytest.approx(7.9))


def test_what_failed_is_not_chosen() -> None:
    found = best_workers(fact(measured(0, *STEADY), measured(4, *times(3.0)), measured(8, failed="no memory")))
    assert found is not None
    assert found[0] == 4


@pytest.mark.parametrize(
    ("throughput", "why"),
    [
        (fact(failed="it would take about 90 minutes"), "it would take about 90 minutes"),
        (fact(measured(0, *STEADY), measured(4, failed="it died")), "with 4 workers: it died"),
        (fact(measured(0, *STEADY), measured(0, *STEADY, size=80)), ""),
        (fact(measured(1, failed="it died"), measured(4, *STEADY), failed="it died"), "it died"),
    ],
)
def test_it_is_said_why_no_count_was_measured(throughput: dict[str, Any], why: str) -> None:
    assert best_workers(throughput) is None
    assert why_untried(throughput) == why
