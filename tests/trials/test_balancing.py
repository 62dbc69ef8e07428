"""GradNorm and uncertainty weighting: losses of other units are trained as if they had one."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from preflight.core.search_settings import BALANCINGS, GRADNORM, UNCERTAINTY
from preflight.tasks.seeding import seeded
from preflight.telemetry import store
from preflight.trials.balancing import Balancing, make_weighting
from preflight.trials.lab import TrialSpec
from preflight.trials.outcome import DIVERGED

BOTH = ("small", "large")


def small(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output[:, 0], target[:, 0])


def large(output: Tensor, target: Tensor) -> Tensor:
    return 1e6 * F.mse_loss(output[:, 1], target[:, 1])


def lost(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, target) / 0


LOSSES = {"small": small, "large": large}


@pytest.fixture
def balanced(make_lab: Any, make_spec: Any, run: Any) -> Any:
    """Result of a run that balances its losses, and its lab."""

    def train(method: str, names: tuple[str, ...] = BOTH, losses: Any = LOSSES, **values: Any) -> Any:
        lab = make_lab(losses=losses, optimizer=torch.optim.Adam)
        spec = replace(make_spec(steps=60, **values), balancing=Balancing(method, names))
        return run(lab, spec), lab, spec

    return train


@pytest.mark.parametrize("method", BALANCINGS)
def test_a_loss_in_other_units_gets_a_weight_as_much_smaller(balanced: Any, method: str) -> None:
    result, _, _ = balanced(method)
    for weights in (result.balance.first, result.balance.settled):
        assert 1e-7 < weights["large"] / weights["small"] < 1e-5
        assert sum(weights.values()) == pytest.approx(2)


def test_the_first_weights_make_equal_gradients(make_lab: Any, make_spec: Any) -> None:
    lab = make_lab(losses=LOSSES)
    job = lab.task.job(make_spec().params)
    with seeded(0, lab.task.device):
        batch = next(lab.task.batches(job.params, 0))
    losses = [loss(job.outputs(batch), {"target": batch["target"]}) for loss in job.losses]
    weighting = make_weighting(job, Balancing(GRADNORM, BOTH))
    weights = weighting.weights(losses)
    shared = [item for _, item in job.parameters]
    pulls = [torch.autograd.grad(w * loss, shared, retain_graph=True) for w, loss in zip(weights, losses, strict=True)]
    norms = [float(torch.cat([item.flatten() for item in pull]).norm()) for pull in pulls]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_gradnorm_trains_the_loss_that_lags_more(make_lab: Any, make_spec: Any) -> None:
    """Of two losses of one gradient, the one that has fallen less gets the larger weight."""
    job = make_lab(losses={"a": small, "b": small}).task.job(make_spec().params)
    parameter = job.parameters[0][1]
    weighting = make_weighting(job, Balancing(GRADNORM, ("a", "b")))
    for value in (1.0, 0.5, 0.4, 0.3):
        pull = parameter.sum()
        lagging, falling = pull - pull.detach() + 1.0, pull - pull.detach() + value
        weights = weighting.weights([lagging, falling])
    assert float(weights[0]) > 1.0 > float(weights[1])


def test_uncertainty_settles_at_the_size_of_each_loss(make_lab: Any, make_spec: Any) -> None:
    job = make_lab(losses={"a": small, "b": small}).task.job(make_spec().params)
    weighting = make_weighting(job, Balancing(UNCERTAINTY, ("a", "b")))
    for step in range(400):
        weights = weighting.weights([torch.tensor(1.0), torch.tensor(1.0 if step == 0 else 3.0)])
    assert float(weights[0] / weights[1]) == pytest.approx(3.0, rel=0.05)


def test_a_loss_that_is_not_balanced_keeps_its_weight(balanced: Any, table: Any) -> None:
    extra = {**LOSSES, "penalty": lambda output, _: output.square().mean()}
    result, lab, spec = balanced(GRADNORM, losses=extra, **{"loss_weights.penalty": 0.25})
    assert set(result.balance.settled) == set(BOTH)
    row = table(lab, spec, "losses.csv").iloc[0]
    first = result.balance.first
    total = first["small"] * row["small"] + first["large"] * row["large"] + 0.25 * row["penalty"]
    assert row["total"] == pytest.approx(total, rel=1e-4)


def test_the_weights_are_recorded_and_come_out_the_same_again(balanced: Any) -> None:
    (result, lab, spec), (again, _, _) = balanced(GRADNORM), balanced(GRADNORM)
    saved = store.read_json(lab.run_dir / store.TRIALS / spec.folder_name / store.TRIAL)
    assert saved["balancing"] == {"method": GRADNORM, "losses": list(BOTH)}
    assert saved["balance"]["settled"] == result.balance.settled == again.balance.settled
    assert (result.score, result.losses) == (again.score, again.losses)


def test_weights_that_stay_are_those_of_the_settings(make_lab: Any, make_spec: Any, run: Any) -> None:
    lab, spec = make_lab(losses=LOSSES), make_spec(**{"loss_weights.large": 1e-6})
    assert run(lab, spec).balance is None
    assert "balance" not in store.read_json(lab.run_dir / store.TRIALS / spec.folder_name / store.TRIAL)


@pytest.mark.parametrize("method", BALANCINGS)
def test_a_loss_without_a_gradient_does_not_take_all_weight(balanced: Any, method: str) -> None:
    still = {**LOSSES, "still": lambda output, _: output.detach().square().mean()}
    result, _, _ = balanced(method, (*BOTH, "still"), still)
    assert all(weight > 0 for weight in result.balance.settled.values())
    assert result.outcome.status == "completed"


def test_a_run_that_diverges_has_no_weights(balanced: Any) -> None:
    result, _, _ = balanced(GRADNORM, ("small", "lost"), {"small": small, "lost": lost})
    assert result.outcome.status == DIVERGED
    assert result.balance is None


def test_a_specification_can_be_sent_to_a_worker(make_spec: Any) -> None:
    spec: TrialSpec = replace(make_spec(), balancing=Balancing(GRADNORM, BOTH))
    assert pickle.loads(pickle.dumps(spec)) == spec
