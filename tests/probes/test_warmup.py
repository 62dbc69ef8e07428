"""Warmups of users' schedulers: how long they are, within the run and beyond it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch.optim import Optimizer
from torch.optim import lr_scheduler as L  # a table of them

from preflight.core.finding import Answer, Finding
from preflight.rules.pf204_warmup_too_long import RULE
from preflight.telemetry.recording import Recording


def judge(facts: dict[str, Any]) -> Answer:
    return RULE.judge(Recording(Path("none"), {}, {"schedule": facts}, {}))


def test_the_end_of_a_warmup_is_looked_for_beyond_the_run(replay_of: Any) -> None:
    def rise(optimizer: Optimizer, steps: int = 16000) -> L.LRScheduler:
        return L.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / steps))

    facts = replay_of(rise, "step", 15, 47)
    reached = pytest.approx(705 / 16000)
    assert facts["warmup"] == {"name": "LambdaLR.steps", "advances": 16000, "reached": reached}
    answer = judge(facts)
    assert isinstance(answer, Finding)
    assert answer.message.endswith(
        "its warmup takes 16,000 steps (LambdaLR.steps), and the run has 705; 4.4% of the peak is reached"
    )
    assert "70 steps, 10% of the run" in answer.remedies[0].text


def test_the_length_of_a_warmup_within_the_run(replay_of: Any) -> None:
    facts = replay_of(partial(L.LinearLR, start_factor=0.01, total_iters=12), "epoch", 15, 47)
    assert facts["warmup"] == {"name": "LinearLR.total_iters", "advances": 12, "reached": 1.0}
    answer = judge(facts)
    assert isinstance(answer, Finding)
    assert answer.message.endswith("its warmup takes 12 epochs (LinearLR.total_iters), and the run has 15")
    assert "shorten the warmup to 1 epoch, 10% of the run" in answer.remedies[0].text


def test_without_a_rise_there_is_no_warmup(replay_of: Any) -> None:
    assert replay_of(partial(L.CosineAnnealingLR, T_max=705), "step", 15, 47)["warmup"] is None
