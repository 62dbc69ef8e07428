from __future__ import annotations

import copy
import json
import math
import random
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preflight.telemetry import store
from preflight.trials.lab import Lab, TrialSpec, never
from preflight.trials.outcome import (
    COMPLETED,
    CRASHED,
    DIVERGED,
    INTERRUPTED,
    OUT_OF_MEMORY,
    PRUNED,
    WORST_SCORE,
    Outcome,
    Result,
)


def folder_of(lab: Lab, spec: TrialSpec) -> Path:
    return lab.run_dir / store.TRIALS / spec.folder_name


def table(lab: Lab, spec: TrialSpec, name: str) -> pd.DataFrame:
    return pd.read_csv(folder_of(lab, spec) / name)


def run(lab: Lab, spec: TrialSpec, **changes: Any) -> Result:
    """Run a trial; what is true of every result is checked here."""
    result = lab.run(spec, **changes)
    info = store.read_json(folder_of(lab, spec) / store.TRIAL)
    assert info["outcome"] == result.outcome.as_dict()
    assert info["steps_done"] == result.steps_done
    assert (result.outcome.status == COMPLETED) == (not result.outcome.reason)
    assert math.isfinite(result.penalized)
    if (folder_of(lab, spec) / "losses.csv").exists():
        assert len(table(lab, spec, "losses.csv")) == len(table(lab, spec, "learning_rates.csv"))
    return result


def test_a_completed_trial_has_learned_and_says_how_well(make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(), make_spec(steps=60)
    result = run(lab, spec)
    assert result.outcome == Outcome(COMPLETED)
    assert (result.steps_done, result.seconds > 0) == (60, True)
    assert result.score == pytest.approx(result.losses["mse"] / 4.0)
    assert result.score < 0.2 * run(lab, make_spec(steps=60, lr=1e-6)).score


def test_a_trials_folder_says_all_about_it(make_lab: Any, make_spec: Any) -> None:
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


def test_all_telemetry_files_are_there(make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(head="head", losses={"mse": F.mse_loss, "l1": F.l1_loss}), make_spec()
    run(lab, spec)
    rows = {path.name: len(pd.read_csv(path)) for path in folder_of(lab, spec).glob("*.csv")}
    assert rows == {
        "gradient_norms.csv": 12,
        "weight_deltas.csv": 4,
        "learning_rates.csv": 12,
        "head_stats.csv": 4,
        "losses.csv": 12,
        "parameters.csv": 4,
    }
    losses = table(lab, spec, "losses.csv")
    assert losses["epoch"].tolist() == [0] * 5 + [1] * 5 + [2] * 2
    assert losses["val_score"].notna().tolist() == [False] * 5 + [True] + [False] * 5 + [True]
    assert table(lab, spec, "gradient_norms.csv").columns.tolist() == ["epoch", "overall", "body", "head"]


def test_nothing_unfinished_is_left_in_the_folder(make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(), make_spec()
    run(lab, spec)
    assert not [path for path in folder_of(lab, spec).iterdir() if path.suffix not in (".csv", ".json")]


def test_the_total_is_weighted_and_the_losses_are_not(make_lab: Any, make_spec: Any) -> None:
    lab = make_lab(losses={"mse": F.mse_loss, "l1": F.l1_loss})
    spec = make_spec(**{"loss_weights.mse": 0.5, "loss_weights.l1": 3.0})
    result = run(lab, spec)
    losses = table(lab, spec, "losses.csv")
    assert losses["total"].tolist() == pytest.approx((0.5 * losses["mse"] + 3.0 * losses["l1"]).tolist(), rel=1e-5)
    assert losses["val_mse"].iloc[-1] == pytest.approx(result.losses["mse"], rel=1e-6)
    assert result.score == pytest.approx((result.losses["mse"] + result.losses["l1"]) / 8)


def test_the_learning_rate_follows_the_schedule_in_every_group(make_lab: Any, make_spec: Any) -> None:
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
    make_lab: Any, make_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Remembering, "applied", [])
    lab, spec = make_lab(schedule="cosine", optimizer=Remembering), make_spec(warmup_fraction=0.25)
    run(lab, spec)
    recorded = table(lab, spec, "learning_rates.csv")["lr_group0"].tolist()
    assert recorded == pytest.approx(Remembering.applied) and len(set(recorded)) > 6


def test_a_specification_may_replace_the_schedule(make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(schedule="cosine"), make_spec(steps=4, schedule="constant")
    run(lab, spec)
    assert table(lab, spec, "learning_rates.csv")["lr_group0"].tolist() == pytest.approx([0.1] * 4)
    assert store.read_json(folder_of(lab, spec) / store.TRIAL)["schedule"] == "constant"


def test_gradients_are_clipped_after_they_are_recorded(make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(), make_spec(lr=1.0, clip_norm=0.01)
    run(lab, spec)
    assert table(lab, spec, "gradient_norms.csv")["overall"].min() > 0.1
    deltas = table(lab, spec, "weight_deltas.csv")
    assert (deltas["body_delta"] ** 2 + deltas["head_delta"] ** 2).max() <= (3 * 0.0101) ** 2


def test_the_same_specification_gives_the_same_files_to_the_byte(make_lab: Any, make_spec: Any) -> None:
    spec = make_spec(seed=5, dropout=0.5)
    contents = []
    for disturbance in (1, 2):
        random.seed(disturbance)
        np.random.seed(disturbance)
        torch.manual_seed(disturbance)
        lab = make_lab()
        run(lab, make_spec(seed=disturbance))  # what else was trained must not matter
        run(lab, spec)
        contents.append({path.name: path.read_bytes() for path in folder_of(lab, spec).glob("*.csv")})
    assert contents[0] == contents[1] and len(contents[0]) == 5


def test_another_seed_gives_another_trial(make_lab: Any, make_spec: Any) -> None:
    lab = make_lab()
    for shuffle in (True, False):  # the order of the data is not all that a seed gives
        assert run(lab, make_spec(seed=1, shuffle=shuffle)).score != run(lab, make_spec(seed=2, shuffle=shuffle)).score


def test_the_random_state_of_the_caller_is_untouched(make_lab: Any, make_spec: Any) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    run(make_lab(), make_spec(dropout=0.5))
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize(("batch_size", "steps"), [(4, 24), (8, 12), (16, 6), (24, 4), (40, 2)])
def test_another_batch_size_sees_as_many_samples(batch_size: int, steps: int, make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(), make_spec(batch_size=batch_size)
    result = run(lab, spec)
    assert result.steps_done == steps
    assert store.read_json(folder_of(lab, spec) / store.TRIAL)["steps"] == steps


def test_equal_seeds_start_from_equal_weights_and_the_same_batches(
    make_lab: Any, make_spec: Any, network: type[nn.Module]
) -> None:
    built: list[nn.Module] = []
    targets: list[Tensor] = []

    def remembered(dropout: float = 0.0) -> nn.Module:
        model = network(dropout)
        built.append(copy.deepcopy(model))
        return model

    def loss(output: Tensor, target: Tensor) -> Tensor:
        if output.requires_grad:
            targets.append(target)
        return F.mse_loss(output, target)

    lab = make_lab(factory=remembered, losses={"mse": loss})
    lab.task.normalizers[("input", "standardize")] = {"center": [1.0] * 3, "scale": [3.0] * 3}
    lab.task.normalizers[("input", "batch_norm")] = {"kind": "batch_norm", "features": 3}
    for option in ("none", "standardize", "batch_norm"):
        run(lab, make_spec(dropout=0.5, **{"normalization.input": option}))
    first, *others = [model.state_dict() for model in built]
    assert all(torch.equal(other[name], first[name]) for other in others for name in first)
    orders = torch.stack(targets).view(3, 12, 8, 2)
    assert torch.equal(orders[1], orders[0]) and torch.equal(orders[2], orders[0])


def test_a_learning_rate_that_is_too_high_diverges(make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(), make_spec(lr=1e12, steps=40, rungs=1)
    result = run(lab, spec)
    losses = table(lab, spec, "losses.csv")["mse"]
    first = int(np.flatnonzero(~np.isfinite(losses))[0])
    outcome = result.outcome
    assert (outcome.status, outcome.step, outcome.culprit) == (DIVERGED, first, "mse")
    assert outcome.reason == f"the loss 'mse' is not finite at step {first}"
    assert outcome.batch == first % 5
    assert result.steps_done < 40 and result.penalized == WORST_SCORE


def test_of_several_losses_the_one_that_is_not_finite_is_named(make_lab: Any, make_spec: Any) -> None:
    def breaks(output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs().mean() / (0.0 if bool((target == 77.0).any()) else 1.0)

    lab = make_lab(losses={"mse": F.mse_loss, "breaks": breaks})
    lab.task.data.train.tensors["target"][17, 0] = 77.0
    outcome = run(lab, make_spec(shuffle=False)).outcome
    assert (outcome.step, outcome.batch, outcome.culprit) == (2, 2, "breaks")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(("row", "step"), [(0, 0), (21, 2), (39, 4)])
def test_a_bad_number_in_the_data_is_found_at_its_batch(
    bad: float, row: int, step: int, make_lab: Any, make_spec: Any
) -> None:
    lab = make_lab()
    lab.task.data.train.tensors["target"][row, 1] = bad
    outcome = run(lab, make_spec(shuffle=False)).outcome
    assert (outcome.status, outcome.step, outcome.batch, outcome.culprit) == (DIVERGED, step, step, "mse")


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_number_is_found_in_shuffled_data_too(seed: int, make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(), make_spec(seed=seed)
    lab.task.data.train.tensors["input"][21] = math.nan
    batches = lab.task.batches(spec.params, seed)
    step = next(index for index, batch in enumerate(batches) if bool(batch["input"].isnan().any()))
    assert run(lab, spec).outcome.step == step


class NotFinite(nn.Module):
    """Finite outputs whose gradient is NaN at one step: that of a square root at zero."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)
        self.at, self.calls = at, 0

    def forward(self, values: Tensor) -> Tensor:
        hidden = self.first(values)
        if self.training:
            if self.calls == self.at:
                hidden = hidden + (0 * hidden).sqrt()
            self.calls += 1
        return self.second(hidden)


@pytest.mark.parametrize("at", [0, 1, 5, 11])
@pytest.mark.parametrize("rungs", [0, 2, 12])
def test_a_gradient_that_is_not_finite_is_found_before_the_loss_is(
    at: int, rungs: int, make_lab: Any, make_spec: Any
) -> None:
    outcome = run(make_lab(factory=lambda: NotFinite(at)), make_spec(rungs=rungs)).outcome
    assert (outcome.status, outcome.step, outcome.batch) == (DIVERGED, at, at % 5)
    assert outcome.culprit in ("first.weight", "first.bias")
    assert outcome.reason == f"the gradient of '{outcome.culprit}' is not finite at step {at}"


def test_a_bad_last_step_is_seen_without_any_evaluation(make_lab: Any, make_spec: Any) -> None:
    lab = make_lab()
    lab.task.data.train.tensors["input"][33] = math.nan
    outcome = run(lab, make_spec(steps=5, rungs=0, shuffle=False)).outcome
    assert (outcome.status, outcome.step) == (DIVERGED, 4)


class Sometimes(nn.Module):
    """A layer that only every third batch goes through, as experts and stochastic depth have it."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.sometimes, self.never = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(3, 2)
        self.calls = 0

    def forward(self, values: Tensor) -> Tensor:
        self.calls += 1
        output = self.always(values)
        return output + self.sometimes(values) if self.calls % 3 == 0 else output


def test_a_layer_without_a_gradient_in_some_steps_is_no_divergence(make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(factory=Sometimes), make_spec(steps=20)
    assert run(lab, spec).outcome.status == COMPLETED
    parameters = table(lab, spec, "parameters.csv")
    assert parameters["first_nonfinite_step"].tolist() == [-1] * 6


class Careful(NotFinite):
    def forward(self, values: Tensor) -> Tensor:
        output = super().forward(values)
        assert bool(output.isfinite().all()), "predictions must be finite"
        return output


def test_a_users_own_assertion_does_not_hide_where_it_began(make_lab: Any, make_spec: Any) -> None:
    outcome = run(make_lab(factory=lambda: Careful(4)), make_spec()).outcome
    assert (outcome.status, outcome.step) == (DIVERGED, 4)
    assert "predictions must be finite" in str(outcome.traceback)


def test_a_validation_loss_that_is_not_finite_is_a_divergence(make_lab: Any, make_spec: Any) -> None:
    lab = make_lab()
    lab.task.data.validation.tensors["target"][3] = math.nan
    result = run(lab, make_spec())
    outcome = result.outcome
    assert (outcome.status, outcome.step, outcome.culprit) == (DIVERGED, 5, "mse")
    assert outcome.reason == "the validation loss is not finite"
    assert result.penalized == WORST_SCORE


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
    error: BaseException | None, detail: str, at: int, make_lab: Any, make_spec: Any
) -> None:
    result = run(make_lab(factory=raise_at_step(error, at)), make_spec())
    outcome = result.outcome
    assert (outcome.status, outcome.step, result.steps_done) == (OUT_OF_MEMORY, at, at)
    assert re.fullmatch(rf"batch_size=8 does not fit; try 4 \(.*{detail}\)", outcome.reason)
    assert result.penalized == WORST_SCORE


def test_a_batch_of_one_cannot_be_halved(make_lab: Any, make_spec: Any) -> None:
    lab = make_lab(factory=raise_at_step(torch.OutOfMemoryError(GPU_ERROR), 0))
    outcome = run(lab, make_spec(batch_size=1)).outcome
    assert outcome.reason == "batch_size=1 does not fit (CUDA out of memory. Tried to allocate 2.00 GiB.)"


def test_a_model_that_does_not_fit_is_out_of_memory_too(make_lab: Any, make_spec: Any) -> None:
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
    error: BaseException, status: str, make_lab: Any, make_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FailingOptimizer, "error", error, raising=False)
    lab, spec = make_lab(optimizer=FailingOptimizer), make_spec()
    result = run(lab, spec)
    assert (result.outcome.status, result.steps_done) == (status, 5)
    assert len(table(lab, spec, "losses.csv")) == 5


def test_a_crash_in_the_users_model_keeps_its_traceback_and_what_was_recorded(make_lab: Any, make_spec: Any) -> None:
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
    changes: dict[str, Any], step: int, make_lab: Any, make_spec: Any
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


def test_a_sample_that_cannot_be_read_is_an_outcome(make_lab: Any, make_spec: Any, parts: Any) -> None:
    outcome = run(make_lab(data=(Unreadable(), parts[1])), make_spec()).outcome
    assert (outcome.status, outcome.step) == (CRASHED, 3)
    assert outcome.reason.startswith("OSError: image ")


def test_a_batch_larger_than_the_data_is_an_outcome(make_lab: Any, make_spec: Any) -> None:
    outcome = run(make_lab(), make_spec(batch_size=41)).outcome
    assert (outcome.status, outcome.reason) == (CRASHED, "batch_size=41 is larger than the 40 training samples")


def test_ctrl_c_ends_a_trial_as_interrupted(make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(factory=raise_at_step(KeyboardInterrupt(), 7)), make_spec()
    result = run(lab, spec)
    assert (result.outcome.status, result.outcome.step) == (INTERRUPTED, 7)
    assert len(table(lab, spec, "losses.csv")) == 7


def test_ctrl_c_while_the_model_is_built_does_so_too(make_lab: Any, make_spec: Any) -> None:
    def interrupted() -> nn.Module:
        raise KeyboardInterrupt

    result = run(make_lab(factory=interrupted), make_spec())
    assert (result.outcome.status, result.steps_done) == (INTERRUPTED, 0)


def test_a_hopeless_trial_is_stopped_at_a_rung(make_lab: Any, make_spec: Any) -> None:
    asked = []

    def hopeless(steps_done: int, evaluation: Any) -> bool:
        asked.append((steps_done, evaluation.score))
        return steps_done == 6

    result = run(make_lab(), make_spec(rungs=4), hopeless=hopeless)
    assert [steps for steps, _ in asked] == [3, 6]
    assert (result.outcome.status, result.outcome.step, result.steps_done) == (PRUNED, 5, 6)
    assert result.outcome.reason == "hopeless after 6 of 12 steps"
    assert result.score == result.penalized == asked[-1][1]


def test_the_last_rung_is_not_asked_about(make_lab: Any, make_spec: Any) -> None:
    asked = []

    def hopeless(steps_done: int, _: Any) -> bool:
        asked.append(steps_done)
        return False

    assert run(make_lab(), make_spec(rungs=3), hopeless=hopeless).outcome.status == COMPLETED
    assert asked == [4, 8]
    assert not never(1, None)  # type: ignore[arg-type]


def test_a_trial_without_rungs_is_not_evaluated(make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(), make_spec(rungs=0)
    result = run(lab, spec)
    assert result.outcome.status == COMPLETED and math.isnan(result.score) and result.losses == {}
    assert table(lab, spec, "losses.csv")["val_score"].isna().all()


def test_a_trial_whose_process_died_is_recorded(make_lab: Any, make_spec: Any) -> None:
    lab, spec = make_lab(), make_spec()
    result = lab.record_loss(spec, Outcome(CRASHED, "the worker process died"))
    info = json.loads((folder_of(lab, spec) / store.TRIAL).read_text())
    assert info["outcome"] == {"status": CRASHED, "reason": "the worker process died"}
    assert (result.steps_done, result.penalized) == (0, WORST_SCORE)
