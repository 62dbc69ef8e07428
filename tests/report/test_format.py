from __future__ import annotations

import math

import pytest

from preflight.advise import evidence
from preflight.advise.evidence import Effect
from preflight.report import format as fmt


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0147, "0.0147"),
        (1.0, "1.00"),
        (123.4, "123"),
        (5431.2, "5,431"),
        (-5431.2, f"{fmt.MINUS}5,431"),
        (0.0, "0"),
        (1.2e-7, f"1.20e{fmt.MINUS}7"),
        (3.2e8, "3.20e8"),
        (math.nan, fmt.MISSING),
        (None, fmt.MISSING),
        (math.inf, "∞"),
        (-math.inf, f"{fmt.MINUS}∞"),
    ],
)
def test_numbers_have_three_significant_digits(value: float | None, text: str) -> None:
    assert fmt.number(value) == text


@pytest.mark.parametrize("share", [0.984, 0.986, 0.045, 0.9999, 1.0, 0.0])
def test_gains_are_rounded_as_on_the_terminal(share: float) -> None:
    assert fmt.percent(share) == evidence.percent(share)


@pytest.mark.parametrize(
    ("share", "text"),
    [(-0.03, f"{fmt.MINUS}3%"), (-4.0, f"{fmt.MINUS}400%"), (-0.0001, "0%"), (math.nan, fmt.MISSING)],
)
def test_losses_have_a_minus_and_nothing_has_none(share: float, text: str) -> None:
    assert fmt.percent(share) == text


def test_an_interval_without_bounds_is_unknown() -> None:
    assert fmt.interval(Effect(0.5, 0.4, 0.6, 5)) == "40 to 60%"
    assert fmt.interval(Effect(0.5, -math.inf, 1.0, 1)) == "interval unknown"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("lr", 1e-5, "1e-5"),
        ("lr", 0.0074, "0.0074"),
        ("batch_size", 32, "32"),
        ("shuffle", True, "true"),
        ("clip_norm", None, "no clipping"),
        ("warmup_fraction", 0.05, "5% of the run"),
        ("normalization.input", "as configured", "as configured"),
    ],
)
def test_settings_read_as_one_would_type_them(name: str, value: str | float | None, text: str) -> None:
    assert fmt.setting(name, value) == text


@pytest.mark.parametrize(("value", "text"), [(255.0, "255"), (5159.0, "5,159"), (0.02512, "0.02512"), (math.inf, "∞")])
def test_whole_statistics_stay_whole(value: float, text: str) -> None:
    assert fmt.statistic(value) == text
