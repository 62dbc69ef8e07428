from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preflight.core.errors import TaskError
from preflight.trials.loop import ended_by, rungs
from preflight.trials.outcome import CRASHED, INTERRUPTED, OUT_OF_MEMORY


def test_rungs_are_evenly_spaced_and_end_with_the_run() -> None:
    assert rungs(100, 4) == (25, 50, 75, 100)
    assert rungs(10, 3) == (3, 7, 10)
    assert rungs(10, 1) == (10,)
    assert rungs(10, 0) == ()


@given(steps=st.integers(1, 5000), count=st.integers(1, 30))
def test_there_are_as_many_rungs_as_asked_for_or_as_there_are_steps(steps: int, count: int) -> None:
    found = rungs(steps, count)
    assert found[-1] == steps and found[0] >= 1
    assert list(found) == sorted(set(found))
    assert len(found) == min(steps, count)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), INTERRUPTED),
        (torch.OutOfMemoryError("x"), OUT_OF_MEMORY),
        (MemoryError(), OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), OUT_OF_MEMORY),
        (RuntimeError("size mismatch"), CRASHED),
        (TaskError("the loss does not fit"), CRASHED),
    ],
)
def test_an_exception_is_an_outcome(error: BaseException, status: str) -> None:
    outcome = ended_by(error, 8, 3)
    assert (outcome.status, outcome.step) == (status, 3)
    assert "\n" not in outcome.reason


def test_the_cause_of_an_error_counts() -> None:
    try:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        except torch.OutOfMemoryError as cause:
            raise TaskError("model.factory failed") from cause
    except TaskError as error:
        assert ended_by(error, 8, 0).status == OUT_OF_MEMORY


def test_errors_of_preflight_speak_for_themselves() -> None:
    outcome = ended_by(TaskError("the loss does not fit"), 8, 0)
    assert (outcome.reason, outcome.traceback) == ("the loss does not fit", None)
