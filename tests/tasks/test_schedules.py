from __future__ import annotations

import functools
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler as torch_schedulers

from preflight.core.errors import TaskError
from preflight.core.model_settings import SCHEDULES
from preflight.core.params import Params
from preflight.core.units import RunLength
from preflight.tasks.schedules import Curve, lr_factor, own_curves, replay

TODAY = Params(lr=0.1, batch_size=4)


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


def chain(optimizer: torch.optim.Optimizer) -> torch_schedulers.LRScheduler:
    warmup = torch_schedulers.LinearLR(optimizer, 0.1, total_iters=10)
    decay = torch_schedulers.CosineAnnealingLR(optimizer, 20)
    return torch_schedulers.SequentialLR(optimizer, [warmup, decay], [10])


SPECS: dict[str, Any] = {
    "target": {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": 30},
    "partial": functools.partial(torch_schedulers.OneCycleLR, max_lr=0.3, total_steps=31),
    "function": chain,
    "lambda": lambda optimizer: torch_schedulers.LambdaLR(optimizer, lambda step: 1 / (1 + step)),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_scheduler_is_replayed_as_the_long_run_advances_it(spec: Any, make_task: Any) -> None:
    task = make_task(scheduler=spec, lr_ratios={"head": 10})
    found = replay(task, TODAY, 30)
    assert found is not None
    job = task.job(TODAY)
    scheduler, expected = task.scheduler(job.optimizer), []
    for _ in range(31):
        expected.append([group["lr"] for group in job.optimizer.param_groups])
        job.optimizer.step()
        if len(expected) < 31:
            scheduler.step()
    assert found.lrs.tolist() == expected
    assert (found.ratios, found.error) == ((1.0, 10.0), None)


def test_a_replay_says_where_a_scheduler_gives_up(make_task: Any) -> None:
    task = make_task(scheduler=functools.partial(torch_schedulers.OneCycleLR, max_lr=0.3, total_steps=5))
    found = replay(task, TODAY, 30)
    assert found is not None and found.error is not None
    assert found.error.startswith("ValueError: Tried to step 6 times")
    assert found.at_steps(np.array([4, 29]), "step", 3).tolist() == found.lrs[[4, -1]].tolist()
    assert found.at_steps(np.array([7]), "epoch", 3).tolist() == found.lrs[[2]].tolist()


def test_a_replay_warns_of_nothing_and_touches_no_user_object(make_task: Any) -> None:
    task, made = make_task(scheduler=chain), []
    job = task.job(TODAY)
    made.append(task.scheduler(job.optimizer).state_dict()["last_epoch"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replay(task, TODAY, 12)
    assert task.scheduler(task.job(TODAY).optimizer).state_dict()["last_epoch"] == made[0] == 0
    assert job.optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


def test_what_follows_a_metric_stays_at_its_first_rate(make_task: Any) -> None:
    task = make_task(scheduler=torch_schedulers.ReduceLROnPlateau)
    found = replay(task, TODAY, 30)
    assert found is not None and not found.is_free
    assert found.lrs.tolist() == [[0.1]]
    curve = own_curves(task, TODAY, RunLength(7, 4, 12))["step"]
    assert curve.factors.tolist() == [[1.0]] * 7


def test_without_a_scheduler_there_is_nothing_to_replay(make_task: Any) -> None:
    task = make_task(schedule="cosine")
    assert replay(task, TODAY, 3) is None
    assert own_curves(task, TODAY, RunLength(7, 4, 12)) == {}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (lambda optimizer: None, "model.scheduler must give .* got NoneType"),
        (
            {"_target_": "torch.optim.lr_scheduler.StepLR"},
            r"=torch\.optim\.lr_scheduler\.StepLR needs step_size, and is given nothing",
        ),
        (
            {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "tmax": 3},
            r"^model\.scheduler=torch\..*LR takes no 'tmax'; did you mean 'T_max'\? known: T_max, eta_min, last_epoch",
        ),
        (
            functools.partial(torch_schedulers.CosineAnnealingLR, tmax=3),
            "=CosineAnnealingLR takes no 'tmax'; did you mean",
        ),
        (
            {"_target_": "torch.optim.lr_scheduler.OneCycleLR", "max_lr": 0.1},
            "model.scheduler cannot be built: ValueError: .*total_steps.*; it is given max_lr=0.1$",
        ),
        ({"_target_": "torch.optim.lr_scheduler.StepLr"}, "model.scheduler._target_=.* does not import"),
    ],
)
def test_what_is_no_scheduler_is_refused(spec: Any, text: str, make_task: Any) -> None:
    with pytest.raises(TaskError, match=text):
        replay(make_task(scheduler=spec), TODAY, 3)


@pytest.mark.parametrize(("interval", "expected"), [("step", [1, 1, 0.5, 0.5, 0.25]), ("epoch", [1, 1, 1, 1, 1])])
def test_a_curve_advances_at_its_interval(interval: str, expected: list[float], make_task: Any) -> None:
    spec = functools.partial(torch_schedulers.StepLR, step_size=2, gamma=0.5)
    task = make_task(scheduler=spec, scheduler_interval=interval, lr_ratios={"head": 3})
    curve = own_curves(task, TODAY, RunLength(5, 4, 12))[interval]  # three steps an epoch
    assert curve.ratios == (1.0, 3.0)
    assert curve.factors[:, 0].tolist() == pytest.approx(expected)
    assert curve.factors[:, 1].tolist() == pytest.approx(expected)


@given(total=st.integers(1, 60), steps=st.integers(1, 200))
def test_a_run_of_any_length_follows_the_whole_curve(total: int, steps: int) -> None:
    curve = Curve((1.0,), np.linspace(1, 2, total)[:, None])
    found = [curve.at(step, steps, [1.0])[0] for step in range(steps)]
    assert found == sorted(found)
    if steps >= total:
        assert (found[0], found[-1]) == (1.0, curve.factors[-1, 0])
    if total % steps == 0:
        assert sum(found) / steps == pytest.approx(curve.factors.mean())
    if steps == total:
        assert found == curve.factors[:, 0].tolist()


def test_a_group_that_today_has_not_follows_the_first() -> None:
    curve = Curve((2.0, 5.0), np.array([[1.0, 3.0]]))
    assert curve.at(0, 1, [5.0, 1.0, 2.0]) == [3.0, 1.0, 1.0]
