from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from preflight.core.finding import NOTE, Clean, Finding, NotApplicable
from preflight.rules.pf602_memory_unused import RULE, largest_batch
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
GIB = 2**30


def facts(peak: float, capacity: float | None, fixed: float = 4.0) -> dict[str, Any]:
    """Peak at batch 40 in GiB, of which ``fixed`` does not depend on it."""
    per_sample = (peak - fixed) / 40
    return {
        "memory": {
            "batch_size": 40,
            "measured": {"20": (fixed + 20 * per_sample) * GIB, "40": peak * GIB, "80": (2 * peak - fixed) * GIB},
            "capacity": None if capacity is None else capacity * GIB,
            "fixed": fixed * GIB,
            "per_sample": per_sample * GIB,
        }
    }


def test_the_batch_that_fits_is_on_the_line_and_not_a_multiple_of_the_peak(recorded: Recorded) -> None:
    """Case E: 24 of 30.9 GB are fixed; scaling the peak would say that 95 samples fit."""
    answer = RULE.judge(recorded(facts=facts(30.9, 82, fixed=24.0)))
    assert isinstance(answer, Finding)
    assert answer.severity == NOTE
    assert f"{int((0.9 * 82 - 24) / (6.9 / 40))} samples fit" in answer.message


@pytest.mark.parametrize(("peak", "capacity"), [(60, 82), (41, 82)])
def test_memory_in_use_is_clean(peak: float, capacity: float, recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(peak, capacity))) == Clean()


def test_where_the_loader_limits_a_larger_batch_is_no_advice(recorded: Recorded) -> None:
    loading = {"loading": {"batch_size": 40, "wait_s": 4.9, "compute_s": 0.3, "gain_bound": 0.06, "workers": None}}
    loading["loading"] |= {"fetch_cpu_s": 0.1, "cores": 8, "epoch_batches": 1000}
    assert RULE.judge(recorded(facts={**facts(30.9, 82, 24.0), **loading})) == Clean()


def test_a_line_that_does_not_rise_says_nothing(recorded: Recorded) -> None:
    assert largest_batch(1.0, 0.0, 10.0) is None
    assert largest_batch(None, None, 10.0) is None
    assert RULE.judge(recorded(facts=facts(4.0, 82))) == Clean()


def test_without_an_accelerator_there_is_no_capacity(recorded: Recorded) -> None:
    assert RULE.judge(recorded(facts=facts(3.0, None))) == NotApplicable("no probe has looked at 'memory.capacity'")
    assert RULE.judge(recorded()) == NotApplicable("no probe has looked at 'memory'")
    empty = {"memory": {"batch_size": 40, "measured": {"20": GIB}, "capacity": GIB}}
    assert RULE.judge(recorded(facts=empty)) == NotApplicable("memory was not measured at batch_size=40")
