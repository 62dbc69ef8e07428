from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from preflight.core.errors import TaskError
from preflight.core.model_settings import FIELD_KINDS, FieldSettings
from preflight.core.search_settings import NORMALIZATIONS
from preflight.probes.fields import OPTIONS, FieldReport, classify, inspect_field, normalizer_configs
from preflight.tasks.data import InMemory
from preflight.tasks.normalizer import InputNormalizer

N = 4096
AUTO = FieldSettings()


def normal(generator: Generator) -> Tensor:
    return torch.randn(N, generator=generator, dtype=torch.float64)


def uniform(generator: Generator) -> Tensor:
    return torch.rand(N, generator=generator, dtype=torch.float64)


def whole(generator: Generator, high: int) -> Tensor:
    return torch.randint(0, high, (N,), generator=generator).double()


def poisson(generator: Generator, rate: float) -> Tensor:
    return torch.poisson(torch.full((N,), rate, dtype=torch.float64), generator=generator)


SAMPLES: dict[str, tuple[str, Callable[[Generator], Tensor]]] = {
    "normal": ("continuous", normal),
    "far from zero": ("continuous", lambda g: 1e4 + normal(g)),
    "uniform": ("continuous", uniform),
    "exponential": ("continuous", lambda g: -uniform(g).log()),
    "lognormal": ("heavy_tailed", lambda g: (1.5 * normal(g)).exp()),
    "wide lognormal": ("heavy_tailed", lambda g: (2.5 * normal(g)).exp()),
    "negative lognormal": ("heavy_tailed", lambda g: -(1.5 * normal(g)).exp()),
    "pareto 1": ("heavy_tailed", lambda g: uniform(g) ** -1.0),
    "pareto 2": ("heavy_tailed", lambda g: uniform(g) ** -0.5),
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
def test_a_feature_is_told_by_the_shape_of_its_distribution_in_any_unit(
    kind: str, sample: Callable[[Generator], Tensor], seed: int
) -> None:
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


def report_of(tensor: Tensor, settings: FieldSettings = AUTO, **others: Tensor) -> FieldReport:
    return inspect_field("x", InMemory({"x": tensor, **others}), settings)[0]


def features(*names: str) -> Tensor:
    """Columns that hold the named samples."""
    generator = torch.Generator().manual_seed(0)
    return torch.stack([SAMPLES[name][1](generator) for name in names], dim=1).float()


@pytest.mark.parametrize(
    ("tensor", "kinds", "options"),
    [
        (features("normal"), ("continuous",), ("none", "standardize")),
        (features("lognormal"), ("heavy_tailed",), ("none", "standardize", "log_standardize")),
        (features("poisson 30"), ("count",), ("none", "standardize")),
        (features("sensor numbers"), ("identifier",), ("none",)),
        (features("constant"), ("constant",), ("none",)),
        (features("normal", "uniform"), ("continuous", "continuous"), ("none", "standardize")),
        (features("normal", "lognormal"), ("continuous", "heavy_tailed"), ("none", "per_kind")),
        (features("normal", "sensor numbers"), ("continuous", "identifier"), ("none", "per_kind")),
        (features("sensor numbers", "constant"), ("identifier", "constant"), ("none",)),
        (torch.zeros(8, 3, dtype=torch.long), ("tokens",) * 3, ("none",)),
        (torch.zeros(8, 2, dtype=torch.int32), ("tokens",) * 2, ("none",)),
        (torch.ones(8, dtype=torch.bool), ("binary",), ("none",)),
        (torch.rand(8, 3, 4, 4), ("image",) * 3, ("none", "standardize", "minmax")),
        (torch.zeros(8, 1, 4, 4, dtype=torch.uint8), ("image",), ("none", "standardize", "minmax")),
        (torch.arange(8) % 2 > 0, ("binary",), ("none",)),
    ],
)
def test_a_field_gets_the_options_that_its_kinds_allow(
    tensor: Tensor, kinds: tuple[str, ...], options: tuple[str, ...]
) -> None:
    report = report_of(tensor)
    assert (report.kinds, report.options) == (kinds, options)


def test_every_kind_has_options_and_every_option_is_known() -> None:
    assert set(OPTIONS) == set(FIELD_KINDS)
    assert {option for options in OPTIONS.values() for option in options} <= set(NORMALIZATIONS)


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_a_declared_kind_wins(kind: str) -> None:
    report = report_of(features("lognormal", "poisson 30"), FieldSettings(kind=(kind,)))
    assert report.kinds == (kind, kind)
    assert report.options == ("none", *OPTIONS[kind])


def test_a_kind_may_be_declared_for_every_feature() -> None:
    settings = FieldSettings(features=("a", "b"), kind=("identifier", "continuous"))
    report = report_of(features("normal", "normal"), settings)
    assert [(item.name, item.kind) for item in report.features] == [("a", "identifier"), ("b", "continuous")]
    assert report.options == ("none", "per_kind")


def test_integers_that_are_declared_to_be_counts_can_still_not_be_normalized() -> None:
    report = report_of(torch.arange(10).unsqueeze(1), FieldSettings(kind=("count",)))
    assert (report.kinds, report.options) == (("count",), ("none",))


def test_a_report_holds_the_statistics_of_every_feature_in_its_own_units() -> None:
    tensor = torch.tensor([[1.0, 10.0], [3.0, math.nan], [5.0, math.inf], [7.0, 30.0]])
    report = report_of(tensor, FieldSettings(features=("left", "right")))
    assert (report.name, report.shape, report.dtype) == ("x", (2,), "float32")
    left, right = report.features
    assert (left.minimum, left.maximum, left.mean, left.nonfinite) == (1.0, 7.0, 4.0, 0)
    assert left.std == pytest.approx(math.sqrt(5))
    assert (right.minimum, right.maximum, right.mean, right.std, right.nonfinite) == (10.0, 30.0, 20.0, 10.0, 2)


def test_features_are_numbered_unless_they_are_named() -> None:
    assert [item.name for item in report_of(torch.rand(9)).features] == ["x"]
    assert [item.name for item in report_of(torch.rand(9, 2)).features] == ["x[0]", "x[1]"]
    assert [item.name for item in report_of(torch.rand(9, 5, 2)).features] == ["x[0]", "x[1]"]
    assert [item.name for item in report_of(torch.rand(9, 3, 2, 2)).features] == ["x[0]", "x[1]", "x[2]"]


def test_named_features_of_four_dimensions_lie_on_the_last_axis() -> None:
    tensor = features("normal", "lognormal").view(16, 16, 16, 2)
    report, values = inspect_field("x", InMemory({"x": tensor}), FieldSettings(features=("a", "b")))
    assert report.kinds == ("continuous", "heavy_tailed")
    assert values.axis == -1


def test_an_image_has_its_channels_on_axis_one() -> None:
    report, values = inspect_field("x", InMemory({"x": torch.rand(10, 3, 4, 4)}), AUTO)
    assert (values.axis, values.values.shape) == (1, (160, 3))
    assert normalizer_configs(report, values, ("minmax",))["minmax"]["axis"] == 1


def test_very_many_features_share_one_kind() -> None:
    generator = torch.Generator().manual_seed(0)
    report = report_of((1.5 * torch.randn(100, 80, generator=generator)).exp())
    assert set(report.kinds) == {"heavy_tailed"} and len(report.kinds) == 80
    assert report.options == ("none", "standardize", "log_standardize")


def test_a_mask_leaves_padding_out() -> None:
    generator = torch.Generator().manual_seed(0)
    tensor = 100 + torch.randn(500, 4, 1, generator=generator)
    mask = torch.arange(4).expand(500, 4) < 2
    tensor[~mask] = 0.0
    padded = report_of(tensor).features[0]
    (feature,) = report_of(tensor, FieldSettings(mask="valid"), valid=mask).features
    assert padded.minimum == 0.0
    assert feature.minimum > 90.0 and feature.std == pytest.approx(1.0, abs=0.1)


def test_a_scale_that_models_are_made_for_is_recognised() -> None:
    tensor = features("normal", "far from zero")
    assert [item.normalized for item in report_of(tensor).features] == [True, False]
    assert [item.normalized for item in report_of(tensor * 50).features] == [False, False]
    assert [item.normalized for item in report_of(tensor / 50).features] == [False, False]


class Endless:
    """More samples than float32 can count, and an error for one that is not there."""

    def __len__(self) -> int:
        return 2**24 + 4

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        assert int(indices.max()) < len(self), f"there is no sample {int(indices.max())}"
        assert int(indices.min()) >= 0
        return {"x": indices.double().unsqueeze(1)}


def test_no_sample_is_asked_for_that_is_not_there() -> None:
    report, values = inspect_field("x", Endless(), AUTO)
    assert (report.features[0].minimum, report.features[0].maximum) == (0.0, 2**24 + 3)
    assert len(values.values) == N


def test_a_small_split_is_looked_at_whole() -> None:
    _, values = inspect_field("x", InMemory({"x": torch.arange(777.0)}), AUTO)
    assert values.values.flatten().tolist() == list(range(777))


def configs(tensor: Tensor, options: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    report, values = inspect_field("x", InMemory({"x": tensor}), AUTO)
    return normalizer_configs(report, values, options)


def test_every_option_but_none_is_fitted() -> None:
    fitted = configs(torch.rand(10, 2), NORMALIZATIONS)
    assert list(fitted) == [option for option in NORMALIZATIONS if option != "none"]
    for config in fitted.values():
        assert InputNormalizer.from_config(config)(torch.rand(5, 2)).shape == (5, 2)


def test_samples_that_are_not_finite_are_not_fitted_to() -> None:
    tensor = torch.tensor([[1.0, 10.0], [3.0, math.nan], [5.0, 30.0], [math.inf, 20.0]])
    config = configs(tensor, ("minmax",))["minmax"]
    assert (config["center"], config["scale"]) == ([1.0, 10.0], [4.0, 20.0])


@pytest.mark.parametrize("option", ["standardize", "minmax", "robust", "per_kind"])
def test_a_field_without_any_finite_sample_is_refused(option: str) -> None:
    tensor = torch.stack([torch.rand(20), torch.full((20,), math.nan)], dim=1)
    with pytest.raises(TaskError, match=r"input 'x' has no training sample without NaN or infinity \(look at x\[1\]\)"):
        configs(tensor, (option,))
    assert configs(tensor, ("none",)) == {}


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("z", AUTO, r"model\.fields names 'z'; known: x, valid"),
        ("x", FieldSettings(mask="vlid"), r"model\.fields\.x\.mask names 'vlid'; did you mean 'valid'\?"),
        ("x", FieldSettings(features=("a",)), r"model\.fields\.x\.features names 1 features, its last axis has 2"),
    ],
)
def test_settings_that_do_not_fit_the_field_are_refused(name: str, settings: FieldSettings, text: str) -> None:
    source = InMemory({"x": torch.rand(8, 2), "valid": torch.ones(8, dtype=torch.bool)})
    with pytest.raises(TaskError, match=text):
        inspect_field(name, source, settings)
