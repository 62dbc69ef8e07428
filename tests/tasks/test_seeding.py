from __future__ import annotations

import os
import random

import numpy as np
import pytest
import torch

from preflight.tasks.seeding import deterministic_algorithms, seeded

CPU = torch.device("cpu")


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.fixture(autouse=True)
def known_state() -> None:
    random.seed(11)
    np.random.seed(12)
    torch.manual_seed(13)


def test_the_same_seed_draws_the_same_numbers() -> None:
    with seeded(5, CPU):
        first = draw()
    draw()
    with seeded(5, CPU):
        assert draw() == first
    with seeded(6, CPU):
        other = draw()
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_the_callers_random_state_is_as_if_nothing_had_been_drawn() -> None:
    expected = [draw() for _ in range(2)]
    random.seed(11)
    np.random.seed(12)
    torch.manual_seed(13)
    first = draw()
    with seeded(5, CPU):
        draw()
    assert [first, draw()] == expected


def test_it_is_put_back_after_an_error_too() -> None:
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt), seeded(5, CPU):
        draw()
        raise KeyboardInterrupt
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_blocks_nest() -> None:
    with seeded(5, CPU):
        draw()
        second = draw()
    with seeded(5, CPU):
        draw()
        with seeded(6, CPU):
            draw()
        assert draw() == second


def test_seeds_beyond_32_bits_are_taken() -> None:
    with seeded(2**40 + 3, CPU):
        draw()


def deterministic() -> tuple[bool, bool, str | None]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


@pytest.mark.parametrize("workspace", [None, ":16:8"])
@pytest.mark.parametrize(("enabled", "warn_only"), [(False, False), (True, True), (True, False)])
def test_deterministic_algorithms_are_asked_for_inside_alone(
    enabled: bool, warn_only: bool, workspace: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if workspace:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", workspace)
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    try:
        before = deterministic()
        with pytest.raises(KeyboardInterrupt), deterministic_algorithms():
            assert deterministic() == (True, True, workspace or ":4096:8")
            raise KeyboardInterrupt
        assert deterministic() == before
    finally:
        torch.use_deterministic_algorithms(False)


def test_on_the_cpu_the_algorithms_are_the_callers() -> None:
    before = deterministic()
    with seeded(5, CPU):
        assert deterministic() == before


def test_accelerators_that_are_not_the_tasks_are_not_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("every device was seeded")

    for module in (torch.cuda, torch.mps, torch.xpu):
        for name in ("manual_seed", "manual_seed_all"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, refuse)
    with seeded(5, CPU):
        draw()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_seeded_and_put_back() -> None:
    device = torch.device("cuda")
    state = torch.cuda.get_rng_state()
    with seeded(5, device):
        first = torch.rand(3, device=device)
        assert deterministic()[:2] == (True, True)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    with seeded(5, device):
        assert torch.equal(torch.rand(3, device=device), first)
    assert not torch.are_deterministic_algorithms_enabled()
