"""Schedules as users build them: the unit that they are advanced in, and what that makes of the rate."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim import lr_scheduler as L  # a table of them

from preflight.core.finding import Answer, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.core.units import RunLength
from preflight.probes.schedule import look_at_schedule
from preflight.rules.base import Rule
from preflight.rules.pf206_scheduler_unit import RULE
from preflight.telemetry.recording import Recording

Scheduler = Callable[[Optimizer], L.LRScheduler]
BATCH = 2


def judge(facts: dict[str, Any], rule: Rule = RULE) -> Answer:
    return rule.judge(Recording(Path("none"), {}, {"schedule": facts}, {}))


def giblet(steps_per_epoch: int, epochs: int) -> Scheduler:
    """Case C: lengths in batches, of a warmup over ten epochs and a cosine over the rest."""

    def make(optimizer: Optimizer) -> L.LRScheduler:
        warmup = steps_per_epoch * 10
        rise = L.LinearLR(optimizer, 0.1, 1.0, total_iters=warmup)
        fall = L.CosineAnnealingLR(optimizer, steps_per_epoch * epochs - warmup, eta_min=1e-6)
        return L.SequentialLR(optimizer, [rise, fall], [warmup])

    return make


def warmup_then_cosine(warmup: int, rest: int) -> Scheduler:
    def make(optimizer: Optimizer) -> L.LRScheduler:
        parts = [L.LinearLR(optimizer, 0.1, total_iters=warmup), L.CosineAnnealingLR(optimizer, rest)]
        return L.SequentialLR(optimizer, parts, [warmup])

    return make


def inverse_root(warmup: int) -> Scheduler:
    return partial(L.LambdaLR, lr_lambda=lambda step: min((step + 1) / warmup, math.sqrt(warmup / (step + 1))))


def linear_with_warmup(warmup: int, total: int) -> Scheduler:
    """As transformers builds it: a partial with the lengths as keywords."""

    def factor(step: int, *, num_warmup_steps: int, num_training_steps: int) -> float:
        if step < num_warmup_steps:
            return step / num_warmup_steps
        return max(0.0, (num_training_steps - step) / (num_training_steps - num_warmup_steps))

    return partial(L.LambdaLR, lr_lambda=partial(factor, num_warmup_steps=warmup, num_training_steps=total))


def in_epochs_by_division(warmup_epochs: int, epochs: int, steps_per_epoch: int) -> Scheduler:
    """Advanced per batch, with lengths in epochs that its function converts itself."""

    def factor(step: int) -> float:
        epoch = step / steps_per_epoch
        return min(1, (epoch + 0.01) / warmup_epochs) * 0.5 * (1 + math.cos(math.pi * min(1, epoch / epochs)))

    return partial(L.LambdaLR, lr_lambda=factor)


FAULTY: dict[str, tuple[Any, str, int, int]] = {
    "case C": (giblet(27, 500), "epoch", 500, 27),
    "case C, its first epochs": (giblet(27, 500), "epoch", 15, 27),
    "cosine of max_epochs per batch": (partial(L.CosineAnnealingLR, T_max=20), "step", 20, 50),
    "one cycle of max_epochs per batch": (partial(L.OneCycleLR, max_lr=1e-3, total_steps=20), "step", 20, 50),
    "steps of 30 epochs per batch": (partial(L.StepLR, step_size=30), "step", 90, 100),
    "milestones per batch": (partial(L.MultiStepLR, milestones=[15, 25]), "step", 30, 20),
    "exponential per batch": (partial(L.ExponentialLR, gamma=0.9), "step", 30, 40),
    "a function of the epoch per batch": (partial(L.LambdaLR, lr_lambda=lambda epoch: 0.9**epoch), "step", 30, 40),
    "line per batch": (partial(L.LinearLR, start_factor=1.0, end_factor=0.1, total_iters=10), "step", 10, 30),
    "polynomial per batch": (partial(L.PolynomialLR, total_iters=10, power=2), "step", 10, 30),
    "transformers' in epochs per batch": (linear_with_warmup(2, 20), "step", 20, 30),
    "transformers' in batches per epoch": (linear_with_warmup(100, 2000), "epoch", 40, 50),
    "restarts per batch": (partial(L.CosineAnnealingWarmRestarts, T_0=10), "step", 30, 63),
    "inverse root in batches per epoch": (inverse_root(400), "epoch", 15, 100),
}
HEALTHY: dict[str, tuple[Any, str, int, int]] = {
    "one cycle": (partial(L.OneCycleLR, max_lr=1e-3, total_steps=1000), "step", 20, 50),
    "one cycle, long rise": (partial(L.OneCycleLR, max_lr=1e-3, total_steps=1000, pct_start=0.45), "step", 20, 50),
    "one cycle per epoch": (partial(L.OneCycleLR, max_lr=1e-3, total_steps=20), "epoch", 20, 50),
    "restarts per epoch": (partial(L.CosineAnnealingWarmRestarts, T_0=10), "epoch", 50, 40),
    "restarts of an epoch": (partial(L.CosineAnnealingWarmRestarts, T_0=40), "step", 40, 40),
    "growing restarts": (partial(L.CosineAnnealingWarmRestarts, T_0=20, T_mult=2), "step", 40, 10),
    "triangles": (
        partial(L.CyclicLR, base_lr=1e-5, max_lr=1e-4, step_size_up=20, cycle_momentum=False),
        "step",
        40,
        10,
    ),
    "inverse root, ten batches of warmup in ten epochs": (inverse_root(10), "step", 10, 100),
    "inverse root": (inverse_root(400), "step", 10, 1000),
    "constant after 1% of warmup": (partial(L.LinearLR, start_factor=0.01, total_iters=10), "step", 10, 100),
    "constant after 5% of warmup": (partial(L.LinearLR, start_factor=0.01, total_iters=5), "epoch", 100, 10),
    "polynomial": (partial(L.PolynomialLR, total_iters=1000, power=4), "step", 20, 50),
    "steps of 30 epochs": (partial(L.StepLR, step_size=30), "epoch", 90, 20),
    "milestones in epochs": (partial(L.MultiStepLR, milestones=[30, 60, 80]), "epoch", 90, 20),
    "milestones in batches": (partial(L.MultiStepLR, milestones=[600, 1600]), "step", 90, 20),
    "exponential per epoch": (partial(L.ExponentialLR, gamma=0.95), "epoch", 60, 20),
    "exponential per batch": (partial(L.ExponentialLR, gamma=0.999), "step", 20, 100),
    "one step a batch": (partial(L.StepLR, step_size=1, gamma=0.999), "step", 3, 500),
    "one step an epoch": (partial(L.StepLR, step_size=100, gamma=0.97), "step", 100, 100),
    "warmup and cosine per batch": (warmup_then_cosine(20, 980), "step", 20, 50),
    "warmup and cosine per epoch": (warmup_then_cosine(5, 95), "epoch", 100, 50),
    "transformers'": (linear_with_warmup(100, 2000), "step", 40, 50),
    "epochs by division": (in_epochs_by_division(2, 40, 50), "step", 40, 50),
    "very short": (partial(L.CosineAnnealingLR, T_max=6), "step", 2, 3),
    "very short, per epoch": (partial(L.CosineAnnealingLR, T_max=2), "epoch", 2, 3),
    "one batch an epoch": (partial(L.CosineAnnealingLR, T_max=50), "step", 50, 1),
    "300 steps of 705": (partial(L.CosineAnnealingLR, T_max=300), "step", 15, 47),
    "a one cycle of 300 steps of 705": (partial(L.OneCycleLR, max_lr=1e-3, total_steps=300), "step", 15, 47),
    "a line over 200 steps of 705": (partial(L.PolynomialLR, total_iters=200), "step", 15, 47),
    "stopped half-way": (partial(L.CosineAnnealingLR, T_max=200), "epoch", 100, 100),
    "one step": (partial(L.CosineAnnealingLR, T_max=1), "step", 1, 1),
}


@pytest.mark.parametrize(("scheduler", "unit", "epochs", "steps_per_epoch"), FAULTY.values(), ids=FAULTY)
def test_a_scheduler_in_the_wrong_unit_is_found(
    scheduler: Any, unit: str, epochs: int, steps_per_epoch: int, replay_of: Any
) -> None:
    facts = replay_of(scheduler, unit, epochs, steps_per_epoch)
    assert facts["unit"] == unit != facts["length_unit_guess"]
    assert isinstance(judge(facts), Finding)


@pytest.mark.parametrize(("scheduler", "unit", "epochs", "steps_per_epoch"), HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_schedule_is_not(
    scheduler: Any, unit: str, epochs: int, steps_per_epoch: int, replay_of: Any
) -> None:
    facts = replay_of(scheduler, unit, epochs, steps_per_epoch)
    assert facts["unit"] == unit == facts["length_unit_guess"]
    assert judge(facts) == Clean()
    assert facts["error"] is None or facts["length"] < facts["steps"]


def test_case_c_is_named_with_the_rate_that_its_owner_read(replay_of: Any) -> None:
    answer = judge(replay_of(giblet(27, 500), "epoch", 15, 27))
    assert isinstance(answer, Finding)
    assert answer.message == (
        "the scheduler advances once per epoch, its length counts batches: planned 1.0e-04, applied 1.5e-05 at epoch 15"
    )
    facts = replay_of(giblet(27, 500), "epoch", 500, 27)
    assert facts["lengths"] == {"LinearLR.total_iters": 270, "CosineAnnealingLR.T_max": 13230}
    assert (facts["length"], facts["steps"], facts["epochs"], facts["warmup_share"] > 0.5) == (13230, 13500, 500, True)
    assert facts["departs_at"]["planned"] > 5 * facts["departs_at"]["applied"]


def test_rates_are_shown_over_the_run(replay_of: Any) -> None:
    facts = replay_of(partial(L.StepLR, step_size=1, gamma=0.5), "epoch", 3, 2)
    rates = [1e-4, 1e-4, 5e-5, 5e-5, 2.5e-5, 2.5e-5, 1.25e-5]  # after the last step as well
    assert facts["applied"] == [[step, pytest.approx(rate)] for step, rate in enumerate(rates)]
    assert (facts["peak"], facts["end"], facts["warmup_share"]) == (pytest.approx(1e-4), pytest.approx(1.25e-5), 0.0)
    assert facts["departs_at"] is None


def test_a_long_run_is_shown_in_means(replay_of: Any) -> None:
    facts = replay_of(partial(L.CosineAnnealingWarmRestarts, T_0=7), "step", 100, 100)
    assert len(facts["applied"]) == 200
    expected = sum(0.5 * (1 + math.cos(math.pi * step / 7)) for step in range(7)) / 7
    assert sum(rate for _, rate in facts["applied"]) / 200 == pytest.approx(1e-4 * expected, rel=0.01)


def test_what_follows_a_metric_cannot_be_replayed(replay_of: Any) -> None:
    facts = replay_of(L.ReduceLROnPlateau, "epoch", 3, 2)
    reason = "ReduceLROnPlateau follows a metric"
    assert facts == {"kind": "ReduceLROnPlateau", "unit": "epoch", "steps": 6, "reason": reason}
    assert isinstance(judge(facts), NotApplicable)


def test_preflights_own_schedules_are_replayed_with_their_warmup(make_task: Any) -> None:
    task = make_task(schedule="linear")
    params = Params(0.1, BATCH, warmup_fraction=0.2)
    facts = look_at_schedule(task, params, 0, RunLength(10, BATCH, 4))["schedule"]
    rates = [0.05, 0.1, 0.1, 0.0875, 0.075, 0.0625, 0.05, 0.0375, 0.025, 0.0125, 0.0]
    assert facts["applied"] == facts["planned"] == [[step, pytest.approx(rate)] for step, rate in enumerate(rates)]
    assert (facts["kind"], facts["unit"], facts["length_unit_guess"]) == ("linear", "step", "step")
    assert (facts["warmup_share"], facts["warmup_fraction"]) == (0.1, 0.2)
    assert judge(facts) == Clean()


def test_groups_say_their_ratio_and_their_peak(replay_of: Any) -> None:
    two = {"factory": lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4)), "lr_ratios": {"1": 10}}
    facts = replay_of(partial(L.CosineAnnealingLR, T_max=6), "step", 2, 3, **two)
    assert facts["groups"] == [
        {"ratio": 1.0, "peak": pytest.approx(1e-4)},
        {"ratio": 10.0, "peak": pytest.approx(1e-3)},
    ]
    lost = replay_of(partial(L.OneCycleLR, max_lr=1e-3, total_steps=6), "step", 2, 3, **two)
    assert lost["groups"][0]["peak"] == lost["groups"][1]["peak"]


def test_a_scheduler_that_gives_up_early_says_why(replay_of: Any) -> None:
    facts = replay_of(partial(L.OneCycleLR, max_lr=1e-3, total_steps=50), "step", 2, 50)
    assert facts["error"].startswith("ValueError: Tried to step 51 times")


def test_nothing_of_the_users_is_touched(make_task: Any) -> None:
    made = []

    def build(optimizer: Optimizer) -> L.LRScheduler:
        made.append(L.StepLR(optimizer, 3))
        return made[-1]

    task = make_task(scheduler=build)
    job = task.job(Params(0.1, BATCH))
    mine = task.scheduler(job.optimizer)
    before = torch.get_rng_state()
    look_at_schedule(task, Params(0.1, BATCH), 0, RunLength(10, BATCH, 4))
    assert (mine.last_epoch, job.optimizer.param_groups[0]["lr"]) == (0, 0.1)
    assert made[0] is mine and len(made) == 2
    assert torch.equal(torch.get_rng_state(), before)


def test_a_function_without_numbers_has_no_lengths(replay_of: Any) -> None:
    class Decay:
        def __call__(self, step: int) -> float:
            return 1 / (1 + step)

    assert replay_of(partial(L.LambdaLR, lr_lambda=Decay()), "step", 3, 10)["lengths"] == {}
    assert replay_of(functools.partial(L.LambdaLR, lr_lambda=lambda step: 1.0), "step", 3, 10)["lengths"] == {}
