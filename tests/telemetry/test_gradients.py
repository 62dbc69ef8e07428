"""Gradient norms as the recorder has them: exact, absent, not finite, of any precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from preflight.telemetry.recorder import Cadence, Recorder

Train = Callable[..., Any]


def test_gradient_norms_are_autograds_to_the_last_bit(training: Train) -> None:
    run = training()
    assert np.array_equal(run.run(7).norms, np.array(run.norms))


def test_a_parameter_that_never_gets_a_gradient_is_missing(training: Train, branches: type[nn.Module]) -> None:
    run = training(branches())
    whole = run.run(4)
    never = [name.startswith("never") for name in run.recorder.layout.parameters]
    assert np.isnan(whole.norms[:, never]).all()
    assert (whole.deltas[1::2][:, never] == 0).all()


def test_a_gradient_that_is_absent_in_some_steps_is_zero_there(training: Train, branches: type[nn.Module]) -> None:
    run = training(branches())
    whole = run.run(4)
    sometimes = [name.startswith("sometimes") for name in run.recorder.layout.parameters]
    norms = whole.norms[:, sometimes]
    assert (norms[0::2] == 0).all()
    assert (norms[1::2] > 0).all()
    overall = whole.norms[:, [name.startswith("always") for name in run.recorder.layout.parameters]]
    assert np.isfinite(overall).all()


def test_every_gradient_but_the_absent_is_autograds(training: Train, branches: type[nn.Module]) -> None:
    run = training(branches())
    whole = run.run(7)
    expected = np.array(run.norms)
    here = ~np.isnan(expected)
    assert np.array_equal(whole.norms[here], expected[here])


def test_a_step_without_any_gradient_is_recorded(training: Train) -> None:
    run = training()
    run.recorder.gradients(torch.tensor(1.0), [torch.tensor(1.0), torch.tensor(0.0)], [0.1, 0.05])
    run.recorder.updated()
    chunk = run.recorder.flush()
    assert chunk.losses.tolist() == [[1.0, 1.0, 0.0]]
    assert np.isnan(chunk.norms).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_stays_visible(bad: float, training: Train) -> None:
    run = training()
    run.step()
    total, parts = run.backward()
    run.network.head.bias.grad[0] = bad
    run.recorder.gradients(total * bad, parts, [0.1, 0.05])
    run.recorder.updated()
    chunk = run.recorder.flush()
    assert np.isfinite(chunk.norms[0]).all()
    assert np.array_equal(chunk.norms[1, 3], bad, equal_nan=True)
    assert np.array_equal(chunk.losses[1, 0], bad, equal_nan=True)


def test_a_gradient_that_is_never_finite_is_not_taken_for_one_that_never_came(
    training: Train, branches: type[nn.Module]
) -> None:
    run = training(branches())
    for _ in range(2):
        total, parts = run.backward()
        run.network.always.bias.grad[0] = float("nan")
        run.recorder.gradients(total, parts, [0.1, 0.05])
        run.recorder.updated()
    run.recorder.flush()
    whole = dict(zip(run.recorder.layout.parameters, run.recorder.history().norms.T, strict=True))
    assert np.isinf(whole["always.bias"]).all()
    assert np.isnan(whole["never.bias"]).all()
    assert np.isfinite(whole["always.weight"]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_norms_do_not_suffer_from_the_precision_of_the_weights(dtype: torch.dtype) -> None:
    weight = nn.Parameter(torch.zeros(300, 200, dtype=dtype))
    bias = nn.Parameter(torch.zeros(2))
    recorder = Recorder([("w", weight), ("b", bias)], {"w": "net", "b": "net"}, ["mse"], Cadence(2, 1))
    weight.grad, bias.grad = torch.full_like(weight, 1000.0), torch.ones(2)
    recorder.gradients(torch.tensor(1.0), [torch.tensor(1.0)], [0.1])
    recorder.updated()
    norms = recorder.flush().norms[0]
    assert norms == pytest.approx([float(weight.grad.double().norm()), 2**0.5], rel=1e-4)


def test_a_sparse_gradient_has_the_norm_of_its_dense_one() -> None:
    norms = []
    for is_sparse in (False, True):
        torch.manual_seed(0)
        table, layer = nn.Embedding(10, 4, sparse=is_sparse), nn.Linear(4, 2)
        loss = layer(table(torch.tensor([1, 2, 2, 7]))).square().sum()
        loss.backward()
        named = [("table", table.weight), ("layer", layer.weight)]
        recorder = Recorder(named, {"table": "net", "layer": "net"}, ["mse"], Cadence(2, 1))
        recorder.gradients(loss, [loss], [0.1])
        recorder.updated()
        norms.append(recorder.flush().norms)
    assert norms[1] == pytest.approx(norms[0], rel=1e-6)
