"""Decays that end before the run does, and what only looks so; runs of 15 epochs of 47 steps."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch.optim import Optimizer
from torch.optim import lr_scheduler as L  # a table of them

from preflight.core.finding import Answer, Clean, Finding, NotApplicable
from preflight.rules import pf206_scheduler_unit
from preflight.rules.base import Rule
from preflight.rules.pf207_lr_not_as_planned import RULE
from preflight.telemetry.recording import Recording


def judge(facts: dict[str, Any], rule: Rule = RULE) -> Answer:
    return rule.judge(Recording(Path("none"), {}, {"schedule": facts}, {}))


def warmup_then_cosine(optimizer: Optimizer) -> L.LRScheduler:
    parts = [L.LinearLR(optimizer, 0.1, total_iters=50), L.CosineAnnealingLR(optimizer, 300)]
    return L.SequentialLR(optimizer, parts, [50])


def line(optimizer: Optimizer, num_training_steps: int = 400) -> L.LRScheduler:
    return L.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / num_training_steps))


def over_half_a_cosine(total: int) -> Any:
    """As transformers builds it: beyond its end it comes back."""

    def factor(step: int, *, num_training_steps: int) -> float:
        return max(0.0, 0.5 * (1 + math.cos(math.pi * step / num_training_steps)))

    return partial(L.LambdaLR, lr_lambda=partial(factor, num_training_steps=total))


def and_then_constant(optimizer: Optimizer) -> L.LRScheduler:
    """A second phase that somebody wants."""
    parts = [L.CosineAnnealingLR(optimizer, 300), L.ConstantLR(optimizer, 0.5, total_iters=10**6)]
    return L.SequentialLR(optimizer, parts, [300])


def wave(step: int, length: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * step / length))


SHORT: dict[str, tuple[Any, str, int, str]] = {
    "cosine": (partial(L.CosineAnnealingLR, T_max=300), "step", 300, "CosineAnnealingLR.T_max=705"),
    "cosine to a floor": (partial(L.CosineAnnealingLR, T_max=400, eta_min=1e-5), "step", 400, "T_max=705"),
    "cosine, many times": (partial(L.CosineAnnealingLR, T_max=44), "step", 44, "T_max=705"),
    "warmup and cosine": (warmup_then_cosine, "step", 350, "CosineAnnealingLR.T_max=655"),
    "cosine per epoch": (partial(L.CosineAnnealingLR, T_max=8), "epoch", 8, "CosineAnnealingLR.T_max=15"),
    "a function's cosine": (over_half_a_cosine(400), "step", 400, "LambdaLR.num_training_steps=705"),
    "line": (line, "step", 400, "LambdaLR.num_training_steps=705"),
    "line of less than half": (partial(L.PolynomialLR, total_iters=200), "step", 200, "PolynomialLR.total_iters=705"),
}
LONG_ENOUGH: dict[str, tuple[Any, str]] = {
    "cosine": (partial(L.CosineAnnealingLR, T_max=705), "step"),
    "cosine per epoch": (partial(L.CosineAnnealingLR, T_max=15), "epoch"),
    "cosine for a longer run": (partial(L.CosineAnnealingLR, T_max=1000), "step"),
    "cosine that is a little short": (partial(L.CosineAnnealingLR, T_max=650), "step"),
    "restarts": (partial(L.CosineAnnealingWarmRestarts, T_0=300), "step"),
    "triangles": (partial(L.CyclicLR, base_lr=1e-6, max_lr=1e-4, step_size_up=150, cycle_momentum=False), "step"),
    "waves of a function": (partial(L.LambdaLR, lr_lambda=partial(wave, length=100)), "step"),
    "a second phase": (and_then_constant, "step"),
    "milestones": (partial(L.MultiStepLR, milestones=[200, 400, 600]), "step"),
    "polynomial": (partial(L.PolynomialLR, total_iters=705, power=3), "step"),
    "exponential": (partial(L.ExponentialLR, gamma=0.8), "epoch"),
    "constant": (partial(L.ConstantLR, factor=1.0), "step"),
}


@pytest.mark.parametrize(("scheduler", "unit", "over", "fitting"), SHORT.values(), ids=SHORT)
def test_a_decay_that_is_over_before_the_run(
    scheduler: Any, unit: str, over: int, fitting: str, replay_of: Any
) -> None:
    facts = replay_of(scheduler, unit, 15, 47)
    assert facts["decay"]["over"] == over
    answer = judge(facts)
    assert isinstance(answer, Finding)
    assert f"over at {unit} {over} of {15 if unit == 'epoch' else 705}" in answer.message
    assert fitting in answer.remedies[0].text
    assert judge(facts, pf206_scheduler_unit.RULE) == Clean()


@pytest.mark.parametrize(("scheduler", "unit"), LONG_ENOUGH.values(), ids=LONG_ENOUGH)
def test_a_decay_that_lasts_or_comes_back_by_design(scheduler: Any, unit: str, replay_of: Any) -> None:
    answer = judge(replay_of(scheduler, unit, 15, 47))
    assert answer == NotApplicable("there is no learning_rates.csv")


def test_a_decay_in_the_wrong_unit_is_not_one_that_is_short(replay_of: Any) -> None:
    facts = replay_of(partial(L.CosineAnnealingLR, T_max=20), "step", 20, 50)
    assert isinstance(judge(facts, pf206_scheduler_unit.RULE), Finding)
    assert isinstance(judge(facts), NotApplicable)
