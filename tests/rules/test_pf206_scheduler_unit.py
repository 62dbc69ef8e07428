from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import ERROR, Clean, Finding, NotApplicable
from preflight.rules.pf206_scheduler_unit import CYCLE, DECAY, GAP, RULE, WARMUP, unit_of
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
ALIVE = {"step": 0.5, "epoch": 0.5}


def facts(**changes: Any) -> dict[str, Any]:
    departure = {"step": 405, "epoch": 15.0, "planned": 1e-4, "applied": 1.5e-5, "gap": 0.85}
    found = {"kind": "SequentialLR", "unit": "epoch", "length_unit_guess": "step", "departs_at": departure}
    return {"schedule": {**found, "lengths": {"LinearLR.total_iters": 270}, "steps": 405, "epochs": 15, **changes}}


def test_lengths_in_batches_of_a_scheduler_that_advances_per_epoch(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts()))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.step, answer.where) == (ERROR, 405, "SequentialLR")
    assert answer.message == (
        "the scheduler advances once per epoch, its length counts batches: planned 1.0e-04, applied 1.5e-05 at epoch 15"
    )
    assert "warmup" not in answer.message
    assert "scheduler_interval: step" in answer.remedies[0].text
    assert answer.strength == pytest.approx(0.85 / GAP.value)


def test_a_schedule_in_epochs_that_advances_per_batch(recorded: Recorded) -> None:
    answer = RULE.judge(recorded(facts=facts(unit="step", length_unit_guess="epoch", lengths={})))
    assert isinstance(answer, Finding)
    assert "once per step, it decays as if it counted epochs" in answer.message
    assert answer.message.endswith("at step 405")


@pytest.mark.parametrize(
    "changes",
    [
        {"length_unit_guess": "epoch"},
        {"departs_at": None},
        {"departs_at": {"step": 3, "epoch": 1.0, "planned": 1.0, "applied": 0.9, "gap": 0.1}},
    ],
)
def test_what_makes_no_difference_is_clean(changes: dict[str, Any], recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(**changes))) == Clean()


def test_what_cannot_be_replayed_is_said(recorded: Recorded) -> None:
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'schedule'")
    schedule = {"kind": "ReduceLROnPlateau", "unit": "epoch", "reason": "ReduceLROnPlateau follows a metric"}
    answer = RULE.judge(recorded(facts={"schedule": schedule}))
    assert answer == NotApplicable("the schedule cannot be replayed: ReduceLROnPlateau follows a metric")


@pytest.mark.parametrize(
    ("lengths", "unit", "epochs", "steps_per_epoch", "expected"),
    [
        ([(270, WARMUP), (13230, DECAY)], "epoch", 500, 27, "step"),
        ([(270, WARMUP), (13230, DECAY)], "epoch", 15, 27, "step"),
        ([(20, DECAY)], "step", 20, 50, "epoch"),
        ([(10, CYCLE)], "step", 30, 63, "epoch"),
        # healthy
        ([(10, WARMUP)], "step", 10, 100, "step"),  # ten batches, and ten epochs
        ([(10, WARMUP), (990, DECAY)], "step", 10, 100, "step"),
        ([(5, WARMUP), (95, DECAY)], "epoch", 100, 50, "epoch"),
        ([(200, DECAY)], "epoch", 100, 100, "epoch"),
        ([(10**9, DECAY)], "epoch", 100, 100, "epoch"),
        ([(40, CYCLE)], "step", 40, 40, "step"),
        ([(30, CYCLE)], "step", 30, 10, "step"),
        ([(50, DECAY)], "step", 50, 1, "step"),
        ([(50, DECAY)], "epoch", 50, 1, "epoch"),
        ([(6, DECAY)], "step", 2, 3, "step"),
        ([], "step", 10, 10, "step"),
        ([], "epoch", 10, 10, "epoch"),
    ],
)
def test_the_unit_that_lengths_count(
    lengths: list[tuple[int, str]], unit: str, epochs: int, steps_per_epoch: int, expected: str
) -> None:
    assert unit_of(lengths, unit, epochs * steps_per_epoch, steps_per_epoch, ALIVE) == expected


def test_a_rate_that_is_gone_half_way_counts_epochs_without_any_length() -> None:
    assert unit_of([], "step", 3000, 100, {"step": 1e-9, "epoch": 0.1}) == "epoch"
    assert unit_of([], "step", 3000, 100, {"step": 1e-9, "epoch": 1e-8}) == "step"  # nor does it as epochs


@given(epochs=st.integers(1, 500), steps_per_epoch=st.integers(1, 5000), share=st.floats(0.3, 1.5))
def test_a_length_of_the_order_of_its_own_unit_is_never_of_the_other(
    epochs: int, steps_per_epoch: int, share: float
) -> None:
    steps = epochs * steps_per_epoch
    assert unit_of([(max(1, round(share * steps)), DECAY)], "step", steps, steps_per_epoch, ALIVE) == "step"
    assert unit_of([(max(1, round(share * epochs)), DECAY)], "epoch", steps, steps_per_epoch, ALIVE) == "epoch"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it keeps nothing
@given(gap=st.floats(0, 10))
def test_the_gap_decides(gap: float, recorded: Recorded) -> None:
    departure = {"step": 3, "epoch": 1.0, "planned": 1.0, "applied": 0.9, "gap": gap}
    assert isinstance(RULE.judge(recorded(facts=facts(departs_at=departure))), Finding) == (gap > GAP.value)
