from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from preflight.telemetry.recorder import Cadence, Recorder

Train = Callable[..., Any]
# What makes the host wait for a number on the device.
WAITING = ("item", "tolist", "nonzero", "__bool__", "__float__", "__int__", "__index__")
FOREACH = ("_foreach_norm", "_foreach_sub_", "_foreach_copy_")


class Branches(nn.Module):
    """One layer is never used, one in every other step."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.always, self.sometimes, self.never = (nn.Linear(3, 2) for _ in range(3))

    def forward(self, values: Tensor) -> Tensor:
        self.calls += 1
        output = self.always(values)
        return output if self.calls % 2 else output + self.sometimes(values)


@pytest.fixture
def transfers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the tensors that were moved to the host."""
    moved: list[tuple[int, ...]] = []
    real = Tensor.cpu

    def cpu(tensor: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        moved.append(tuple(tensor.shape))
        return real(tensor, *arguments, **keywords)

    monkeypatch.setattr(Tensor, "cpu", cpu)
    return moved


def test_gradient_norms_are_autograds_to_the_last_bit(training: Train) -> None:
    run = training()
    assert np.array_equal(run.run(7).norms, np.array(run.norms))


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


def test_chunks_follow_each_other_without_a_gap(training: Train) -> None:
    run = training()
    chunks = []
    for _ in range(7):
        run.step()
        if run.recorder.full:
            chunks.append(run.recorder.flush())
    assert run.recorder.pending
    chunks.append(run.recorder.flush())
    assert not run.recorder.pending
    assert [(chunk.first_step, len(chunk)) for chunk in chunks] == [(0, 3), (3, 3), (6, 1)]
    whole = run.recorder.history()
    assert (whole.first_step, len(whole)) == (0, 7)
    assert np.array_equal(whole.norms, np.concatenate([chunk.norms for chunk in chunks]))


def test_flushing_early_changes_no_row(training: Train) -> None:
    plain, early = training(), training()
    plain.run(7)
    for step in range(7):
        early.step()
        if early.recorder.full or step in (0, 3, 4):
            early.recorder.flush()
    early.recorder.flush()
    one, other = plain.recorder.history(), early.recorder.history()
    for name in ("losses", "norms", "deltas", "heads", "lrs"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name


def test_a_chunk_is_full_when_the_next_step_has_no_room(training: Train) -> None:
    run = training()
    states = []
    for _ in range(3):
        states.append((run.recorder.pending, run.recorder.full))
        run.step()
    assert states == [(False, False), (True, False), (True, False)]
    assert run.recorder.full
    total, parts = run.backward()
    with pytest.raises(IndexError):
        run.recorder.gradients(total, parts, [0.1])


def test_a_step_that_the_optimizer_did_not_finish_is_left_out(training: Train) -> None:
    run = training()
    run.step()
    total, parts = run.backward()
    run.recorder.gradients(total, parts, [0.1, 0.05])
    run.recorder.flush()
    whole = run.recorder.history()
    assert [len(getattr(whole, name)) for name in ("losses", "norms", "deltas", "heads", "lrs")] == [1] * 5


def test_nothing_recorded_is_a_history_without_rows(training: Train) -> None:
    whole = training().recorder.history()
    assert [getattr(whole, name).shape for name in ("losses", "norms", "deltas", "heads")] == [
        (0, 3),
        (0, 4),
        (0, 4),
        (0, 4),
    ]


def test_a_parameter_that_never_gets_a_gradient_is_missing(training: Train) -> None:
    run = training(Branches())
    whole = run.run(4)
    never = [name.startswith("never") for name in run.recorder.layout.parameters]
    assert np.isnan(whole.norms[:, never]).all()
    assert (whole.deltas[1::2][:, never] == 0).all()


def test_a_gradient_that_is_absent_in_some_steps_is_zero_there(training: Train) -> None:
    run = training(Branches())
    whole = run.run(4)
    sometimes = [name.startswith("sometimes") for name in run.recorder.layout.parameters]
    norms = whole.norms[:, sometimes]
    assert (norms[0::2] == 0).all()
    assert (norms[1::2] > 0).all()
    overall = whole.norms[:, [name.startswith("always") for name in run.recorder.layout.parameters]]
    assert np.isfinite(overall).all()


def test_every_gradient_but_the_absent_is_autograds(training: Train) -> None:
    run = training(Branches())
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


def test_a_gradient_that_is_never_finite_is_not_taken_for_one_that_never_came(training: Train) -> None:
    run = training(Branches())
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


@pytest.mark.parametrize("gone", [FOREACH, FOREACH[:1], FOREACH[1:2], FOREACH[2:]])
def test_without_the_private_functions_of_torch_every_value_is_the_same(
    gone: tuple[str, ...], training: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = training().run(7)
    for name in gone:
        monkeypatch.delattr(torch, name)
    slow = training().run(7)
    for name in ("losses", "norms", "deltas", "lrs"):
        assert np.array_equal(getattr(fast, name), getattr(slow, name), equal_nan=True), name


def test_a_chunk_is_one_transfer(training: Train, transfers: list[tuple[int, ...]]) -> None:
    training().run(7)
    columns = 3 + 4 + 4 + 4
    assert transfers == [(3, columns), (3, columns), (1, columns)]


@pytest.mark.parametrize("some_gradients_are_absent", [False, True])
def test_no_step_and_no_flush_asks_for_a_single_number(
    some_gradients_are_absent: bool,
    training: Train,
    network_on: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = Branches() if some_gradients_are_absent else network_on("cpu")
    head = next(network.parameters())
    run = training(network, cadence=Cadence(chunk_steps=2, deltas_every_steps=1), head=head)

    def refuse(*_: object) -> None:
        raise AssertionError("waits for the device")

    for name in WAITING:
        monkeypatch.setattr(Tensor, name, refuse)
    for _ in range(2):
        total, parts = run.backward()
        run.recorder.gradients(total, parts, [0.1, 0.05])
        run.recorder.updated()
    assert len(run.recorder.flush()) == 2


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_no_step_waits_for_it(training: Train, network_on: Callable[[str], Any]) -> None:
    network = network_on("cuda")
    run = training(network, cadence=Cadence(chunk_steps=8, deltas_every_steps=1), head=network.head.weight)
    run.step()
    batches = [run.backward() for _ in range(2)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        for total, parts in batches:
            run.recorder.gradients(total, parts, [0.1, 0.05])
            run.recorder.updated()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert np.isfinite(run.recorder.flush().norms).all()
