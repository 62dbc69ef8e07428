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
from preflight.probes.fields import OPTIONS, FieldReport, inspect_field, normalizer_configs
from preflight.tasks.data import QUANTITIES
from preflight.tasks.normalizer import InputNormalizer

N = 4096
AUTO = FieldSettings()


COLUMNS: dict[str, Callable[[Generator], Tensor]] = {
    "normal": lambda g: torch.randn(N, generator=g),
    "uniform": lambda g: torch.rand(N, generator=g),
    "far from zero": lambda g: 1e4 + torch.randn(N, generator=g),
    "lognormal": lambda g: (1.5 * torch.randn(N, generator=g)).exp(),
    "poisson 30": lambda g: torch.poisson(torch.full((N,), 30.0), generator=g),
    "sensor numbers": lambda g: torch.randint(0, 5160, (N,), generator=g).float(),
    "constant": lambda g: torch.full((N,), 0.1),
}


def report_of(tensor: Tensor, settings: FieldSettings = AUTO, **others: Tensor) -> FieldReport:
    return inspect_field("x", {"x": tensor, **others}, settings, len(tensor)).report


def features(*names: str) -> Tensor:
    """Columns that hold the named samples."""
    generator = torch.Generator().manual_seed(0)
    return torch.stack([COLUMNS[name](generator) for name in names], dim=1)


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


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_a_declared_kind_wins_over_the_dtype(kind: str) -> None:
    report = report_of(torch.arange(10).unsqueeze(1), FieldSettings(kind=(kind,)))
    assert (report.kinds, report.options) == ((kind,), ("none", *OPTIONS[kind]))


def test_quantities_are_the_kinds_that_can_be_normalized() -> None:
    assert set(QUANTITIES) == {kind for kind, options in OPTIONS.items() if options}


def test_statistics_of_declared_integers_are_fitted() -> None:
    field = inspect_field("x", {"x": torch.tensor([[2], [4], [6]])}, FieldSettings(kind=("count",)), 3)
    config = normalizer_configs(field.report, field.values, field.report.options)["standardize"]
    assert config["center"] == [4.0]
    assert InputNormalizer.from_config(config)(torch.tensor([[4]])).tolist() == [[0.0]]


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
    field = inspect_field("x", {"x": tensor}, FieldSettings(features=("a", "b")), 16)
    assert field.report.kinds == ("continuous", "heavy_tailed")
    assert field.values.axis == -1


def test_an_image_has_its_channels_on_axis_one() -> None:
    field = inspect_field("x", {"x": torch.rand(10, 3, 4, 4)}, AUTO, 10)
    assert (field.values.axis, field.values.values.shape) == (1, (160, 3))
    assert normalizer_configs(field.report, field.values, ("minmax",))["minmax"]["axis"] == 1


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


def configs(tensor: Tensor, options: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    field = inspect_field("x", {"x": tensor}, AUTO, len(tensor))
    return normalizer_configs(field.report, field.values, options)


def test_every_option_but_none_is_fitted() -> None:
    fitted = configs(torch.rand(10, 2), NORMALIZATIONS)
    assert list(fitted) == [option for option in NORMALIZATIONS if option != "none"]
    for config in fitted.values():
        assert InputNormalizer.from_config(config)(torch.rand(5, 2)).shape == (5, 2)


def test_values_that_are_not_finite_are_not_fitted_to() -> None:
    tensor = torch.tensor([[1.0, 10.0], [3.0, math.nan], [5.0, 30.0], [math.inf, 20.0]])
    config = configs(tensor, ("minmax",))["minmax"]
    assert (config["center"], config["scale"]) == ([1.0, 10.0], [4.0, 20.0])


def test_a_feature_that_is_missing_in_every_other_sample_does_not_thin_the_others() -> None:
    tensor = torch.tensor([[1.0, math.nan], [math.nan, 10.0], [5.0, math.nan], [math.nan, 30.0]])
    config = configs(tensor, ("minmax",))["minmax"]
    assert (config["center"], config["scale"]) == ([1.0, 10.0], [4.0, 20.0])


@pytest.mark.parametrize("outlier", [1e30, -1e30, torch.finfo(torch.float32).max, -9999.0])
@pytest.mark.parametrize("option", ["standardize", "minmax", "robust", "log_standardize", "per_kind"])
def test_an_outlier_is_not_fitted_to(option: str, outlier: float) -> None:
    tensor = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    expected = configs(tensor[1:], (option,))[option]
    tensor[0] = torch.tensor([outlier, tensor[0, 1]])
    config = configs(tensor, (option,))[option]
    assert (config["center"][0], config["scale"][0]) == (expected["center"][0], expected["scale"][0])
    assert all(math.isfinite(number) for key in ("center", "scale") for number in config[key])


def test_a_report_shows_an_outlier_but_its_mean_and_kind_are_of_the_others() -> None:
    tensor = torch.randn(500, generator=torch.Generator().manual_seed(0))
    tensor[7] = 1e30
    (feature,) = report_of(tensor).features
    assert feature.maximum == pytest.approx(1e30)
    assert (feature.kind, feature.normalized, feature.nonfinite) == ("continuous", True, 0)


def test_a_code_shows_in_the_range_but_the_mean_and_the_kind_are_of_the_others() -> None:
    tensor = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    tensor[::20] = -9999.0
    report = report_of(tensor)
    (feature,) = report.features
    assert feature.minimum == -9999.0
    assert (feature.kind, feature.normalized) == ("continuous", True)
    assert report.options == ("none", "standardize", "log_standardize")


@pytest.mark.parametrize("option", ["standardize", "minmax", "robust", "log_standardize"])
def test_values_beyond_float32_have_finite_statistics(option: str) -> None:
    tensor = 1e200 * torch.rand(100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    normalizer = InputNormalizer.from_config(configs(tensor, (option,))[option])
    assert bool(normalizer.center.isfinite().all() and normalizer.scale.isfinite().all())


def test_a_mask_may_say_of_every_value_whether_it_is_there() -> None:
    tensor = torch.tensor([[1.0, math.nan], [-99.0, 10.0], [5.0, -99.0], [3.0, 30.0]])
    there = torch.tensor([[True, False], [False, True], [True, False], [True, True]])
    left, right = report_of(tensor, FieldSettings(mask="there"), there=there).features
    assert (left.minimum, left.maximum, left.nonfinite) == (1.0, 5.0, 0)
    assert (right.minimum, right.maximum, right.nonfinite) == (10.0, 30.0, 0)


@pytest.mark.parametrize("option", ["standardize", "minmax", "robust", "per_kind"])
def test_a_field_without_any_finite_sample_is_refused(option: str) -> None:
    tensor = torch.stack([torch.rand(20), torch.full((20,), math.nan)], dim=1)
    with pytest.raises(TaskError, match=r"input 'x' has no training sample without NaN or infinity in x\[1\]"):
        configs(tensor, (option,))
    assert configs(tensor, ("none",)) == {}


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("z", AUTO, r"model\.fields names 'z'; known: x, valid"),
        ("x", FieldSettings(mask="vlid"), r"model\.fields\.x\.mask names 'vlid'; did you mean 'valid'\?"),
        (
            "x",
            FieldSettings(mask="valid"),
            r"model\.fields\.x\.mask=valid has the shape \[5\] per sample, which is neither",
        ),
        ("x", FieldSettings(features=("a",)), r"model\.fields\.x\.features names 1 features, its last axis has 2"),
    ],
)
def test_settings_that_do_not_fit_the_field_are_refused(name: str, settings: FieldSettings, text: str) -> None:
    batch = {"x": torch.rand(8, 2), "valid": torch.ones(8, 5, dtype=torch.bool)}
    with pytest.raises(TaskError, match=text):
        inspect_field(name, batch, settings, 8)
