from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight.core.model_settings import SCHEDULES
from preflight.trials.schedules import lr_factor


def factors(steps: int, warmup_fraction: float, schedule: str) -> list[float]:
    return [lr_factor(step, steps, warmup_fraction, schedule) for step in range(steps)]


def test_a_constant_schedule_stays_at_the_peak() -> None:
    assert factors(5, 0.0, "constant") == [1.0] * 5


def test_a_line_reaches_zero_at_the_end_of_the_run() -> None:
    assert factors(5, 0.0, "linear") == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    assert lr_factor(5, 5, 0.0, "linear") == 0.0


def test_a_cosine_is_half_way_down_in_the_middle() -> None:
    assert factors(4, 0.0, "cosine") == pytest.approx([1.0, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)])
    assert lr_factor(4, 4, 0.0, "cosine") == pytest.approx(0.0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warmup_rises_from_one_steps_share_to_the_peak(schedule: str) -> None:
    found = factors(20, 0.25, schedule)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[5] == 1.0


def test_decay_begins_after_warmup() -> None:
    assert factors(6, 1 / 3, "linear")[2:] == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_a_warmup_longer_than_the_run_never_reaches_the_peak() -> None:
    assert factors(4, 2.0, "cosine") == pytest.approx([1 / 8, 2 / 8, 3 / 8, 4 / 8])


@given(steps=st.integers(1, 400), warmup=st.floats(0.0, 1.0), schedule=st.sampled_from(SCHEDULES))
def test_factors_are_positive_rise_through_warmup_and_never_rise_after(
    steps: int, warmup: float, schedule: str
) -> None:
    found = factors(steps, warmup, schedule)
    assert all(0.0 < factor <= 1.0 for factor in found)
    warm = round(warmup * steps)
    rising, falling = found[:warm], found[warm:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert max(found) == pytest.approx(1.0)
