from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from preflight.core.model_settings import FieldSettings
from preflight.probes.fields import inspect_field
from preflight.probes.kinds import classify
from preflight.scenarios import digits, icecube

N = 4096
Sample = Callable[[Generator], Tensor]


def normal(generator: Generator) -> Tensor:
    return torch.randn(N, generator=generator, dtype=torch.float64)


def uniform(generator: Generator) -> Tensor:
    return torch.rand(N, generator=generator, dtype=torch.float64)


def whole(generator: Generator, high: int) -> Tensor:
    return torch.randint(0, high, (N,), generator=generator).double()


def poisson(generator: Generator, rate: float) -> Tensor:
    return torch.poisson(torch.full((N,), rate, dtype=torch.float64), generator=generator)


SAMPLES: dict[str, tuple[str, Sample]] = {
    "normal": ("continuous", normal),
    "far from zero": ("continuous", lambda g: 1e4 + normal(g)),
    "uniform": ("continuous", uniform),
    "exponential": ("continuous", lambda g: -uniform(g).log()),
    "lognormal": ("heavy_tailed", lambda g: (1.5 * normal(g)).exp()),
    "wide lognormal": ("heavy_tailed", lambda g: (2.5 * normal(g)).exp()),
    "negative lognormal": ("heavy_tailed", lambda g: -(1.5 * normal(g)).exp()),
    "pareto 1": ("heavy_tailed", lambda g: uniform(g) ** -1.0),
    "pareto 2": ("heavy_tailed", lambda g: uniform(g) ** -0.5),
    "two peaks": ("continuous", lambda g: normal(g) + 10 * (uniform(g) < 0.5)),
    "laplace": ("continuous", lambda g: uniform(g).log() * normal(g).sign()),
    "cauchy": ("heavy_tailed", lambda g: torch.tan(math.pi * (uniform(g) - 0.5))),
    "lognormal far from zero": ("continuous", lambda g: 1e3 + (1.5 * normal(g)).exp()),
    "heavy-tailed counts": ("heavy_tailed", lambda g: (uniform(g) ** -1.0).floor()),
    "poisson 1": ("count", lambda g: poisson(g, 1.0)),
    "poisson 30": ("count", lambda g: poisson(g, 30.0)),
    "poisson 10000": ("count", lambda g: poisson(g, 1e4)),
    "years of age": ("count", lambda g: whole(g, 100)),
    "sensor numbers": ("identifier", lambda g: whole(g, 5160)),
    "row numbers": ("identifier", lambda g: torch.randperm(N, generator=g).double()),
    "user numbers": ("identifier", lambda g: whole(g, 10**6)),
    "constant": ("constant", lambda g: torch.full((N,), 0.1, dtype=torch.float64)),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("kind", "sample"), SAMPLES.values(), ids=SAMPLES)
def test_a_feature_is_told_by_the_shape_of_its_distribution_in_any_unit(kind: str, sample: Sample, seed: int) -> None:
    values = sample(torch.Generator().manual_seed(seed))
    assert [classify(3 * values), classify(values)] == [kind, kind]
    if kind in ("continuous", "heavy_tailed") and bool((values != values.round()).any()):
        assert classify(values / 3) == kind


@pytest.mark.parametrize("seed", range(5))
def test_a_flag_is_zero_or_one(seed: int) -> None:
    flags = (uniform(torch.Generator().manual_seed(seed)) < 0.3).double()
    assert classify(flags) == "binary"
    assert classify(3 * flags) == "count"
    assert classify(flags - 1) == "continuous"


def test_what_is_not_finite_is_left_out() -> None:
    flags = torch.tensor([0.0, 1.0, math.nan, 1.0, math.inf])
    assert classify(flags) == "binary"
    assert classify(torch.tensor([2.0, math.nan])) == "constant"
    assert classify(torch.tensor([math.nan, -math.inf])) == "constant"


def test_few_values_are_never_identifiers() -> None:
    assert classify(torch.arange(100.0)) == "count"
    assert classify(torch.tensor([4.0, 5.0])) == "count"


@pytest.mark.parametrize("share", [0.25, 0.5])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("kind", "sample"), SAMPLES.values(), ids=SAMPLES)
def test_a_part_of_the_data_has_the_kind_of_all_of_it(kind: str, sample: Sample, seed: int, share: float) -> None:
    values = sample(torch.Generator().manual_seed(seed))
    assert classify(values[: round(share * N)]) == classify(values[-round(share * N) :]) == kind


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_fields_that_ship_with_preflight_keep_their_kinds_in_a_part_of_the_data(share: float) -> None:
    (images, labels), _ = digits.load_data()
    pulses, _ = icecube.load_data()

    def kinds_of(name: str, batch: dict[str, Tensor], settings: FieldSettings) -> tuple[str, ...]:
        size = round(share * len(batch[name]))
        part = {key: tensor[:size] for key, tensor in batch.items()}
        return inspect_field(name, part, settings, size).report.kinds

    auto = FieldSettings()
    assert kinds_of("input", {"input": images}, auto) == ("image",)
    assert kinds_of("label", {"label": labels}, auto) == ("tokens",)
    settings = FieldSettings(features=icecube.FEATURES, mask="valid")
    assert kinds_of("pulses", pulses, settings) == ("continuous", "heavy_tailed", "identifier", "binary")


def test_twice_the_data_has_the_kinds_of_one() -> None:
    pulses, _ = icecube.load_data(events=2000)
    more, _ = icecube.load_data(events=8000)
    settings = FieldSettings(features=icecube.FEATURES, mask="valid")
    assert inspect_field("pulses", pulses, settings, 2000).report.kinds == (
        inspect_field("pulses", more, settings, 8000).report.kinds
    )
