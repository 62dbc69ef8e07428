from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from preflight.telemetry.recorder import Cadence

Train = Callable[..., Any]
FOREACH = ("_foreach_norm", "_foreach_sub_", "_foreach_copy_")


def test_losses_are_the_total_and_then_its_parts(training: Train) -> None:
    run = training()
    assert np.array_equal(run.run(7).losses, np.array(run.losses))


def test_deltas_are_the_change_since_the_row_before_and_nan_in_between(training: Train) -> None:
    run = training()
    found = run.run(7).deltas
    assert np.array_equal(found, np.array(run.deltas), equal_nan=True)
    assert np.isnan(found[0::2]).all()
    assert (found[1::2] > 0).all()


def test_a_delta_spans_all_steps_since_the_row_before(training: Train) -> None:
    run = training(cadence=Cadence(chunk_steps=2, deltas_every_steps=5))
    start = [item.detach().clone() for item in run.network.parameters()]
    found = run.run(5).deltas[4]
    moved = [float((a - b.detach()).norm()) for a, b in zip(start, run.network.parameters(), strict=True)]
    assert found == pytest.approx(moved, rel=1e-6)


def test_learning_rates_are_kept_by_group(training: Train) -> None:
    assert np.array_equal(training().run(4).lrs, [[0.1, 0.05]] * 4)


def test_parameters_and_components_are_laid_out_in_their_order(training: Train) -> None:
    layout = training().recorder.layout
    assert layout.parameters == ("backbone.weight", "backbone.bias", "head.weight", "head.bias")
    assert layout.components == ("backbone", "backbone", "head", "head")
    assert layout.sizes == (12, 4, 8, 2)
    assert layout.losses == ("mse", "l1")


def test_nothing_recorded_is_a_history_without_rows(training: Train) -> None:
    whole = training().recorder.history()
    assert [getattr(whole, name).shape for name in ("losses", "norms", "deltas", "heads", "weights", "geometry")] == [
        (0, 3),
        (0, 4),
        (0, 4),
        (0, 4),
        (0, 4),
        (0, 5),
    ]


def test_head_statistics_are_of_the_matrix_and_of_its_rows(training: Train, network_on: Callable[[str], Any]) -> None:
    network = network_on("cpu")
    run = training(network, head=network.head.weight)
    chunk = run.run(4)
    weight = network.head.weight.detach().double().numpy()
    rows = np.linalg.norm(weight, axis=1)
    expected = [weight.mean(), weight.std(ddof=1), rows.mean(), rows.std()]
    assert chunk.heads[3] == pytest.approx(expected, rel=1e-5)
    assert np.isnan(chunk.heads[0::2]).all()


def test_without_a_head_there_are_no_statistics(training: Train) -> None:
    assert np.isnan(training().run(4).heads).all()


def test_recording_changes_neither_weights_nor_gradients(
    training: Train, network_on: Callable[[str], nn.Module]
) -> None:
    run = training()
    total, parts = run.backward()
    before = [(item.detach().clone(), item.grad.clone()) for item in run.network.parameters()]
    run.recorder.gradients(total, parts, [0.1, 0.05])
    for _ in range(2):
        run.recorder.updated()
    for (weight, grad), item in zip(before, run.network.parameters(), strict=True):
        assert torch.equal(weight, item)
        assert torch.equal(grad, item.grad)


def test_weight_norms_are_those_after_the_step_and_before_the_first(training: Train) -> None:
    run = training()
    begun = [float(item.detach().norm()) for item in run.network.parameters()]
    chunk = run.run(7)
    assert run.recorder.layout.first_weight_norms == pytest.approx(begun)
    assert chunk.weights == pytest.approx(np.array(run.weights), nan_ok=True)
    assert np.isnan(chunk.weights[0::2]).all()


@pytest.mark.parametrize("steps", [4, 6, 7])
def test_the_geometry_of_the_head_is_that_of_its_rows(
    steps: int, training: Train, network_on: Callable[[str], Any]
) -> None:
    network = network_on("cpu")
    chunk = training(network, head=network.head.weight).run(steps)
    assert np.isfinite(chunk.geometry).all(axis=1).tolist() == [step % 2 == 1 for step in range(steps)]
    one, other = network.head.weight.detach().double().numpy()
    if steps % 2 == 0:
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert chunk.geometry[-1, :2] == pytest.approx([cosine, cosine], rel=1e-5)
    assert chunk.geometry[1, 3:].tolist() == [2.0, 2.0]


def test_of_a_large_head_rows_from_all_over_it_are_compared(training: Train) -> None:
    network = nn.Linear(3, 2)
    head = torch.cat([torch.eye(4)[:1].repeat(500, 1), torch.eye(4)[1:2].repeat(500, 1)])
    chunk = training(network, head=head).run(2)
    same = (16 * 15 * 2) / (32 * 31)
    assert chunk.geometry[1] == pytest.approx([same, 1.0, 2.0, 4.0, 32.0], rel=1e-4)


@pytest.mark.parametrize("gone", [FOREACH, FOREACH[:1], FOREACH[1:2], FOREACH[2:]])
def test_without_the_private_functions_of_torch_every_value_is_the_same(
    gone: tuple[str, ...], training: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = training().run(7)
    for name in gone:
        monkeypatch.delattr(torch, name)
    slow = training().run(7)
    for name in ("losses", "norms", "deltas", "lrs", "weights"):
        assert np.array_equal(getattr(fast, name), getattr(slow, name), equal_nan=True), name
