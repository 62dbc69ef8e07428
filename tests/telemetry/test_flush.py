"""Rows on their way to the host: when a chunk is full, and that nothing else waits for the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from preflight.telemetry.chunk import COLUMNS
from preflight.telemetry.recorder import Cadence

Train = Callable[..., Any]
# What makes the host wait for a number on the device.
WAITING = ("item", "tolist", "nonzero", "__bool__", "__float__", "__int__", "__index__")


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
    for name in COLUMNS:
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
    assert [len(getattr(whole, name)) for name in COLUMNS] == [1] * len(COLUMNS)


def test_a_chunk_is_one_transfer(training: Train, transfers: list[tuple[int, ...]]) -> None:
    training().run(7)
    columns = 3 + 4 + 4 + 4 + 4
    assert transfers == [(3 * columns,), (3 * columns,), (columns,)]


def test_with_a_head_a_chunk_is_still_one_transfer(
    training: Train, network_on: Callable[[str], Any], transfers: list[tuple[int, ...]]
) -> None:
    network = network_on("cpu")
    training(network, head=network.head.weight).run(7)
    columns, pairs = 3 + 4 + 4 + 4 + 4, 2 * 2
    assert transfers == [(3 * columns + pairs,), (3 * columns + 2 * pairs,), (columns,)]


@pytest.mark.parametrize("some_gradients_are_absent", [False, True])
def test_no_step_and_no_flush_asks_for_a_single_number(
    some_gradients_are_absent: bool,
    training: Train,
    network_on: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    branches: type[nn.Module],
) -> None:
    network = branches() if some_gradients_are_absent else network_on("cpu")
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
