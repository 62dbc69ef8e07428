from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from preflight.probes.codes import code_of

N = 2000


def rare(share: float, g: Generator) -> Tensor:
    return torch.rand(N, generator=g) < share


def normal(g: Generator) -> Tensor:
    return torch.randn(N, generator=g)


def ages(g: Generator) -> Tensor:
    return (18 + 70 * torch.rand(N, generator=g)).round()


@pytest.mark.parametrize("value", [-9999.0, 999.0, 1e30])
@pytest.mark.parametrize("share", [0.005, 0.05, 0.4])
@pytest.mark.parametrize("others", [normal, ages])
def test_a_repeated_value_far_from_all_others_is_a_code(
    others: Callable[[Generator], Tensor], share: float, value: float
) -> None:
    g = Generator().manual_seed(0)
    values, chosen = others(g), rare(share, g)
    low, high = float(values[~chosen].min()), float(values[~chosen].max())
    values[chosen] = value
    code = code_of(torch.cat([values, torch.tensor([torch.nan])]))
    assert code is not None
    assert code.value == pytest.approx(value)
    assert code.share == pytest.approx(float(chosen.double().mean()))
    assert (code.low, code.high) == (low, high)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_the_unit_does_not_matter(unit: float) -> None:
    g = Generator().manual_seed(0)
    values = unit * normal(g).double()
    values[rare(0.05, g)] = -9999.0 * unit
    code = code_of(values)
    assert code is not None
    assert code.value == pytest.approx(-9999.0 * unit)


AMOUNTS: dict[str, Callable[[Generator], Tensor]] = {
    "normal": normal,
    "lognormal": lambda g: (2 * normal(g)).exp(),
    "a long tail": lambda g: torch.rand(N, generator=g).pow(-2),
    "rounded tail": lambda g: torch.rand(N, generator=g).pow(-1).round(),
    "counts of rare things": lambda g: torch.poisson(torch.full((N,), 0.05), generator=g),
    "rare events": lambda g: rare(0.01, g).float(),
    "rare events of a size": lambda g: 1000 * rare(0.02, g).float(),
    "rare amounts": lambda g: rare(0.05, g) * 100 * torch.rand(N, generator=g),
    "classes of prices": lambda g: torch.tensor([1.0, 2.0, 3.0, 500.0])[torch.randint(0, 4, (N,), generator=g)],
    "a saturated sensor": lambda g: normal(g).clamp(max=1.0),
    "saturated at both ends": lambda g: (3 * normal(g)).clamp(-1.0, 1.0),
    "outages": lambda g: torch.where(rare(0.1, g), 0.0, 230 + normal(g)),
    "two clusters": lambda g: torch.where(rare(0.3, g), 1e4, 0.0) + normal(g),
    "one far value": lambda g: torch.cat([normal(g), torch.tensor([-9999.0])]),
    "-1 among ages": lambda g: torch.where(rare(0.05, g), -1.0, ages(g)),
    "constant": lambda g: torch.full((N,), 7.0),
    "whole numbers": lambda g: torch.arange(float(N)),
    "nothing finite": lambda g: torch.full((N,), torch.nan),
}


@pytest.mark.parametrize("name", AMOUNTS)
def test_amounts_have_no_code(name: str) -> None:
    for seed in range(10):
        assert code_of(AMOUNTS[name](Generator().manual_seed(seed))) is None
