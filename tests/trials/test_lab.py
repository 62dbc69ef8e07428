from __future__ import annotations

import json
from typing import Any, ClassVar

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from preflight.telemetry import store
from preflight.trials.outcome import (
    COMPLETED,
    CRASHED,
    WORST_SCORE,
    Outcome,
)


def test_a_completed_trial_has_learned_and_says_how_well(make_lab: Any, make_spec: Any, run: Any) -> None:
    lab, spec = make_lab(), make_spec(steps=60)
    result = run(lab, spec)
    assert result.outcome == Outcome(COMPLETED)
    assert (result.steps_done, result.seconds > 0) == (60, True)
    assert result.score == pytest.approx(result.losses["mse"] / 4.0)
    assert result.score < 0.2 * run(lab, make_spec(steps=60, lr=1e-6)).score


def test_a_trials_folder_says_all_about_it(make_lab: Any, make_spec: Any, run: Any, folder_of: Any) -> None:
    metric = {"function": lambda output, target: (output - target).abs().max(), "goal": "minimize"}
    lab, spec = make_lab(metric=metric), make_spec(seed=3, warmup_fraction=0.25)
    result = run(lab, spec)
    info = store.read_json(folder_of(lab, spec) / store.TRIAL)
    assert folder_of(lab, spec).name == "explore-007"
    assert info["params"]["lr"] == 0.1 and info["params"]["warmup_fraction"] == 0.25
    kept = {key: info[key] for key in ("purpose", "index", "seed", "steps", "schedule", "deltas_every_steps", "device")}
    assert kept == {
        "purpose": "explore",
        "index": 7,
        "seed": 3,
        "steps": 12,
        "schedule": "constant",
        "deltas_every_steps": 3,
        "device": "cpu",
    }
    found = (info["score"], info["penalized_score"], info["metric"], info["losses"])
    assert found == (result.score, result.score, result.metric, result.losses)


def test_all_telemetry_files_are_there(make_lab: Any, make_spec: Any, run: Any, table: Any, folder_of: Any) -> None:
    lab, spec = make_lab(head="head", losses={"mse": F.mse_loss, "l1": F.l1_loss}), make_spec()
    run(lab, spec)
    rows = {path.name: len(pd.read_csv(path)) for path in folder_of(lab, spec).glob("*.csv")}
    assert rows == {
        "gradient_norms.csv": 12,
        "weight_deltas.csv": 4,
        "learning_rates.csv": 12,
        "head_stats.csv": 4,
        "head_geometry.csv": 4,
        "losses.csv": 12,
        "parameters.csv": 4,
    }
    losses = table(lab, spec, "losses.csv")
    assert losses["epoch"].tolist() == [0] * 5 + [1] * 5 + [2] * 2
    assert losses["val_score"].notna().tolist() == [False] * 5 + [True] + [False] * 5 + [True]
    assert table(lab, spec, "gradient_norms.csv").columns.tolist() == ["epoch", "overall", "body", "head"]


def test_nothing_unfinished_is_left_in_the_folder(make_lab: Any, make_spec: Any, run: Any, folder_of: Any) -> None:
    lab, spec = make_lab(), make_spec()
    run(lab, spec)
    assert not [path for path in folder_of(lab, spec).iterdir() if path.suffix not in (".csv", ".json")]


def test_the_total_is_weighted_and_the_losses_are_not(make_lab: Any, make_spec: Any, run: Any, table: Any) -> None:
    lab = make_lab(losses={"mse": F.mse_loss, "l1": F.l1_loss})
    spec = make_spec(**{"loss_weights.mse": 0.5, "loss_weights.l1": 3.0})
    result = run(lab, spec)
    losses = table(lab, spec, "losses.csv")
    assert losses["total"].tolist() == pytest.approx((0.5 * losses["mse"] + 3.0 * losses["l1"]).tolist(), rel=1e-5)
    assert losses["val_mse"].iloc[-1] == pytest.approx(result.losses["mse"], rel=1e-6)
    assert result.score == pytest.approx((result.losses["mse"] + result.losses["l1"]) / 8)


def test_the_learning_rate_follows_the_schedule_in_every_group(
    make_lab: Any, make_spec: Any, run: Any, table: Any
) -> None:
    lab, spec = make_lab(lr_ratios={"head": 10.0}, schedule="linear"), make_spec(steps=4, warmup_fraction=0.5)
    run(lab, spec)
    rates = table(lab, spec, "learning_rates.csv")
    assert rates["lr_group0"].tolist() == pytest.approx([0.05, 0.1, 0.1, 0.05])
    assert rates["lr_group1"].tolist() == pytest.approx([0.5, 1.0, 1.0, 0.5])


class Remembering(torch.optim.SGD):
    applied: ClassVar[list[float]] = []

    def step(self, closure: Any = None) -> Any:
        self.applied.extend(group["lr"] for group in self.param_groups)
        return super().step(closure)


def test_the_learning_rate_that_is_recorded_is_the_one_applied(
    make_lab: Any, make_spec: Any, monkeypatch: pytest.MonkeyPatch, run: Any, table: Any
) -> None:
    monkeypatch.setattr(Remembering, "applied", [])
    lab, spec = make_lab(schedule="cosine", optimizer=Remembering), make_spec(warmup_fraction=0.25)
    run(lab, spec)
    recorded = table(lab, spec, "learning_rates.csv")["lr_group0"].tolist()
    assert recorded == pytest.approx(Remembering.applied) and len(set(recorded)) > 6


def test_a_specification_may_replace_the_schedule(
    make_lab: Any, make_spec: Any, run: Any, table: Any, folder_of: Any
) -> None:
    lab, spec = make_lab(schedule="cosine"), make_spec(steps=4, schedule="constant")
    run(lab, spec)
    assert table(lab, spec, "learning_rates.csv")["lr_group0"].tolist() == pytest.approx([0.1] * 4)
    assert store.read_json(folder_of(lab, spec) / store.TRIAL)["schedule"] == "constant"


def test_gradients_are_clipped_after_they_are_recorded(make_lab: Any, make_spec: Any, run: Any, table: Any) -> None:
    lab, spec = make_lab(), make_spec(lr=1.0, clip_norm=0.01)
    run(lab, spec)
    assert table(lab, spec, "gradient_norms.csv")["overall"].min() > 0.1
    deltas = table(lab, spec, "weight_deltas.csv")
    assert (deltas["body_delta"] ** 2 + deltas["head_delta"] ** 2).max() <= (3 * 0.0101) ** 2


@pytest.mark.parametrize(("batch_size", "steps"), [(4, 24), (8, 12), (16, 7), (24, 5), (40, 2)])
def test_another_batch_size_sees_as_many_samples(
    batch_size: int, steps: int, make_lab: Any, make_spec: Any, run: Any, folder_of: Any
) -> None:
    lab, spec = make_lab(), make_spec(batch_size=batch_size)
    result = run(lab, spec)
    assert result.steps_done == steps
    assert store.read_json(folder_of(lab, spec) / store.TRIAL)["steps"] == steps


def test_a_trial_whose_process_died_is_recorded(make_lab: Any, make_spec: Any, folder_of: Any) -> None:
    lab, spec = make_lab(), make_spec()
    result = lab.record_loss(spec, Outcome(CRASHED, "the worker process died"))
    info = json.loads((folder_of(lab, spec) / store.TRIAL).read_text())
    assert info["outcome"] == {"status": CRASHED, "reason": "the worker process died"}
    assert (result.steps_done, result.penalized) == (0, WORST_SCORE)
