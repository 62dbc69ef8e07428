from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from preflight.tasks.seeding import seeded

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
