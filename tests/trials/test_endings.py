"""How trials end that do not complete: out of memory, by a crash in the user's code, by Ctrl-C."""

from __future__ import annotations

import math
import re
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from preflight.trials.outcome import (
    CRASHED,
    INTERRUPTED,
    OUT_OF_MEMORY,
    WORST_SCORE,
)


def raise_at_step(error: BaseException | None, at: int) -> Any:
    """A factory of networks that fail in training after ``at`` steps; without an error, by asking for too much."""

    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.calls = nn.Linear(3, 2), 0

        def forward(self, values: Tensor) -> Tensor:
            if self.training and self.calls == at:
                if error is None:
                    torch.empty(2**62, dtype=torch.int8)
                else:
                    raise error
            self.calls += self.training
            return self.layer(values)

    return Failing


GPU_ERROR = "CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation"


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (torch.OutOfMemoryError(GPU_ERROR), r"CUDA out of memory\. Tried to allocate 2\.00 GiB\."),
        (MemoryError(), "out of memory"),
        (None, "DefaultCPUAllocator: can't allocate memory: you tried to allocate .*"),
    ],
)
@pytest.mark.parametrize("at", [0, 6])
def test_running_out_of_memory_says_what_would_fit(
    error: BaseException | None, detail: str, at: int, make_lab: Any, make_spec: Any, run: Any
) -> None:
    result = run(make_lab(factory=raise_at_step(error, at)), make_spec())
    outcome = result.outcome
    assert (outcome.status, outcome.step, result.steps_done) == (OUT_OF_MEMORY, at, at)
    assert re.fullmatch(rf"batch_size=8 does not fit; try 4 \(.*{detail}\)", outcome.reason)
    assert result.penalized == WORST_SCORE


def test_a_batch_of_one_cannot_be_halved(make_lab: Any, make_spec: Any, run: Any) -> None:
    lab = make_lab(factory=raise_at_step(torch.OutOfMemoryError(GPU_ERROR), 0))
    outcome = run(lab, make_spec(batch_size=1)).outcome
    assert outcome.reason == "batch_size=1 does not fit (CUDA out of memory. Tried to allocate 2.00 GiB.)"


def test_a_model_that_does_not_fit_is_out_of_memory_too(make_lab: Any, make_spec: Any, run: Any) -> None:
    def too_large() -> nn.Module:
        raise torch.OutOfMemoryError(GPU_ERROR)

    class Moves(nn.Linear):
        def _apply(self, *arguments: Any, **more: Any) -> Any:
            raise torch.OutOfMemoryError(GPU_ERROR)

    for factory in (too_large, lambda: Moves(3, 2)):
        result = run(make_lab(factory=factory), make_spec())
        assert (result.outcome.status, result.outcome.step, result.steps_done) == (OUT_OF_MEMORY, 0, 0)


class FailingOptimizer(torch.optim.SGD):
    """Fails in its sixth step, between the record of the gradients and that of the update."""

    error: BaseException

    def step(self, closure: Any = None) -> Any:
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps == 6:
            raise self.error
        return super().step(closure)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError(GPU_ERROR), OUT_OF_MEMORY),
        (KeyboardInterrupt(), INTERRUPTED),
        (RuntimeError("no"), CRASHED),
    ],
)
def test_a_failure_in_the_optimizer_leaves_whole_rows(
    error: BaseException,
    status: str,
    make_lab: Any,
    make_spec: Any,
    monkeypatch: pytest.MonkeyPatch,
    run: Any,
    table: Any,
) -> None:
    monkeypatch.setattr(FailingOptimizer, "error", error, raising=False)
    lab, spec = make_lab(optimizer=FailingOptimizer), make_spec()
    result = run(lab, spec)
    assert (result.outcome.status, result.steps_done) == (status, 5)
    assert len(table(lab, spec, "losses.csv")) == 5


def test_a_crash_in_the_users_model_keeps_its_traceback_and_what_was_recorded(
    make_lab: Any, make_spec: Any, run: Any, table: Any
) -> None:
    lab, spec = make_lab(factory=raise_at_step(ValueError("shapes differ\nin detail"), 9)), make_spec()
    result = run(lab, spec)
    outcome = result.outcome
    assert (outcome.status, outcome.reason, outcome.step) == (CRASHED, "ValueError: shapes differ", 9)
    assert "in forward" in str(outcome.traceback) and "in detail" in str(outcome.traceback)
    assert len(table(lab, spec, "losses.csv")) == 9
    assert result.penalized == WORST_SCORE
    assert math.isfinite(result.score)  # of the rung before


def raising(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("somewhere in the user's code")


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"factory": raising}, 0),
        ({"losses": {"mse": raising}}, 0),
        ({"metric": {"function": raising, "goal": "minimize"}}, 6),
        ({"optimizer": raising}, 0),
        ({"factory": lambda: nn.Linear(5, 2)}, 0),
        ({"factory": lambda: nn.Linear(3, 2), "components": {"a": "no.*"}}, 0),
    ],
)
def test_a_crash_anywhere_in_the_users_code_is_an_outcome(
    changes: dict[str, Any], step: int, make_lab: Any, make_spec: Any, run: Any
) -> None:
    outcome = run(make_lab(**changes), make_spec()).outcome
    assert (outcome.status, outcome.step) == (CRASHED, step)


class Unreadable(torch.utils.data.Dataset[Any]):
    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.reads += 1
        if self.reads > 30:
            raise OSError(f"image {index} is unreadable")
        return torch.zeros(3), torch.zeros(2)


def test_samples_that_cannot_be_read_are_an_outcome(make_lab: Any, make_spec: Any, parts: Any, run: Any) -> None:
    outcome = run(make_lab(data=(Unreadable(), parts[1])), make_spec()).outcome
    assert (outcome.status, outcome.step) == (CRASHED, 3)
    assert outcome.reason.startswith("a sample of the train data cannot be read: OSError: image ")


def test_a_batch_larger_than_the_data_is_an_outcome(make_lab: Any, make_spec: Any, run: Any) -> None:
    outcome = run(make_lab(), make_spec(batch_size=41)).outcome
    assert (outcome.status, outcome.reason) == (CRASHED, "batch_size=41 is larger than the 40 training samples")


@pytest.mark.parametrize("at", [None, 7])
def test_a_script_that_ends_itself_ends_its_trial_and_no_more(
    at: int | None, make_lab: Any, make_spec: Any, run: Any
) -> None:
    def ends() -> nn.Module:
        sys.exit("no license")

    factory = ends if at is None else raise_at_step(SystemExit("no license"), at)
    outcome = run(make_lab(factory=factory), make_spec()).outcome
    assert (outcome.status, outcome.reason, outcome.step) == (CRASHED, "SystemExit: no license", at or 0)


def test_ctrl_c_ends_a_trial_as_interrupted(make_lab: Any, make_spec: Any, run: Any, table: Any) -> None:
    lab, spec = make_lab(factory=raise_at_step(KeyboardInterrupt(), 7)), make_spec()
    result = run(lab, spec)
    assert (result.outcome.status, result.outcome.step) == (INTERRUPTED, 7)
    assert len(table(lab, spec, "losses.csv")) == 7


def test_ctrl_c_while_the_model_is_built_does_so_too(make_lab: Any, make_spec: Any, run: Any) -> None:
    def interrupted() -> nn.Module:
        raise KeyboardInterrupt

    result = run(make_lab(factory=interrupted), make_spec())
    assert (result.outcome.status, result.steps_done) == (INTERRUPTED, 0)
