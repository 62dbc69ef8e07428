"""Trials of a task that brings its own scheduler."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

from preflight.core.params import Params
from preflight.core.units import RunLength
from preflight.tasks.schedules import own_curves

TODAY = Params(lr=0.1, batch_size=8)
LONG = RunLength(40, 8, 40)  # eight epochs of five steps
COSINE = functools.partial(CosineAnnealingLR, T_max=40)


def lab_with(make_lab: Any, **changes: Any) -> Any:
    lab = make_lab(**changes)
    return replace(lab, curves=own_curves(lab.task, TODAY, LONG))


def rates(lab: Any, spec: Any, run: Any, table: Any) -> list[float]:
    run(lab, spec)
    return table(lab, spec, "learning_rates.csv")["lr_group0"].tolist()


def test_a_trial_of_the_horizon_has_exactly_the_users_rates(
    make_lab: Any, make_spec: Any, run: Any, table: Any
) -> None:
    found = rates(lab_with(make_lab, scheduler=COSINE), make_spec(steps=40), run, table)
    assert found == pytest.approx([0.05 * (1 + np.cos(np.pi * step / 40)) for step in range(40)], rel=1e-6)


def test_a_short_trial_follows_the_whole_schedule(make_lab: Any, make_spec: Any, run: Any, table: Any) -> None:
    lab = lab_with(make_lab, scheduler=COSINE)
    found = rates(lab, make_spec(steps=10), run, table)
    long = 0.05 * (1 + np.cos(np.pi * np.arange(40) / 40))
    assert found == pytest.approx(long.reshape(10, 4).mean(axis=1), rel=1e-6)


def test_a_fault_of_the_long_run_acts_in_a_short_trial(make_lab: Any, make_spec: Any, run: Any, table: Any) -> None:
    """A warmup of 40 batches, advanced once an epoch, gets through a fifth of it in eight epochs."""
    spec = functools.partial(LinearLR, start_factor=0.1, total_iters=40)
    lab = lab_with(make_lab, scheduler=spec, scheduler_interval="epoch")
    assert max(rates(lab, make_spec(steps=8), run, table)) == pytest.approx(0.1 * (0.1 + 0.9 * 7 / 40))


def test_a_trial_may_advance_it_in_the_other_unit(make_lab: Any, make_spec: Any, run: Any, table: Any) -> None:
    spec = functools.partial(LinearLR, start_factor=0.1, total_iters=40)
    lab = lab_with(make_lab, scheduler=spec, scheduler_interval="epoch")
    mended = make_spec(steps=40, scheduler_interval="step")
    assert rates(lab, mended, run, table) == pytest.approx(0.1 * (0.1 + 0.9 * np.arange(40) / 40))


def test_another_learning_rate_scales_the_curve_and_a_warmup_multiplies_it(
    make_lab: Any, make_spec: Any, run: Any, table: Any
) -> None:
    lab = lab_with(make_lab, scheduler=COSINE)
    plain = np.array(rates(lab, make_spec(steps=20), run, table))
    changed = rates(lab, make_spec(steps=20, lr=0.3, warmup_fraction=0.25), run, table)
    ramp = np.array([0.2, 0.4, 0.6, 0.8, *[1.0] * 16])
    assert changed == pytest.approx(3 * plain * ramp, rel=1e-6)


def test_a_constant_rate_is_what_the_range_asks_for(make_lab: Any, make_spec: Any, run: Any, table: Any) -> None:
    lab = lab_with(make_lab, scheduler=COSINE)
    assert rates(lab, make_spec(steps=5, schedule="constant"), run, table) == [0.1] * 5


def test_its_schedule_is_recorded_as_its_own(make_lab: Any, make_spec: Any, run: Any, folder_of: Any) -> None:
    lab, spec = lab_with(make_lab, scheduler=COSINE), make_spec()
    run(lab, spec)
    assert '"schedule": "own"' in (folder_of(lab, spec) / "trial.json").read_text()
