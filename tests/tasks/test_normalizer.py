from __future__ import annotations

import io
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from preflight.core.search_settings import NORMALIZATIONS
from preflight.tasks.normalizer import FeatureNorm, InputNormalizer
from preflight.tasks.statistics import FieldValues, normalizer_config

SHAPES = {"rows": (500, 3), "sequences": (100, 5, 3), "images": (50, 3, 4, 4), "one feature": (500,)}


def field(shape: tuple[int, ...]) -> Tensor:
    """Skewed positive values; every feature has a scale of its own."""
    generator = torch.Generator().manual_seed(0)
    axis = axis_of(shape)
    values = (1.2 * torch.randn(shape, generator=generator)).exp()
    if len(shape) == 1:
        return 50 + 7 * values
    return values.movedim(axis, -1).mul(torch.tensor([1.0, 20.0, 3000.0])).movedim(-1, axis)


def axis_of(shape: tuple[int, ...]) -> int:
    return 1 if len(shape) == 4 else -1


def rows_of(values: Tensor) -> Tensor:
    """One row a sample or position, one column a feature."""
    if values.ndim == 1:
        return values.double().unsqueeze(1)
    return values.movedim(axis_of(tuple(values.shape)), -1).flatten(0, -2).double()


def fitted(option: str, values: Tensor, kinds: tuple[str, ...] = ()) -> dict[str, Any]:
    axis = axis_of(tuple(values.shape))
    rows = rows_of(values)
    return normalizer_config(option, FieldValues(rows, axis), kinds or ("continuous",) * rows.shape[1])


def normalized(option: str, values: Tensor, kinds: tuple[str, ...] = ()) -> Tensor:
    """What a normalizer fitted to ``values`` makes of them, as rows of features."""
    module = InputNormalizer.from_config(fitted(option, values, kinds))
    result = module(values)
    assert result.shape == values.shape and result.dtype == torch.float32
    return rows_of(result)


def assert_all(values: Tensor, expected: float, tolerance: float = 2e-3) -> None:
    assert values.tolist() == pytest.approx([expected] * len(values), abs=tolerance)


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def values(request: pytest.FixtureRequest) -> Tensor:
    return field(request.param)


def test_none_leaves_everything_as_it_is(values: Tensor) -> None:
    for config in (None, "none", {"kind": "none"}, fitted("none", values)):
        module = InputNormalizer.from_config(config)
        assert torch.equal(module(values), values)


def test_standardize_gives_mean_zero_and_deviation_one(values: Tensor) -> None:
    rows = normalized("standardize", values)
    assert_all(rows.mean(dim=0), 0.0)
    assert_all(rows.std(dim=0, correction=0), 1.0)


def test_log_standardize_does_so_on_the_scale_of_the_logarithm(values: Tensor) -> None:
    rows = normalized("log_standardize", values)
    assert_all(rows.mean(dim=0), 0.0)
    assert_all(rows.std(dim=0, correction=0), 1.0)
    plain = normalized("standardize", values)
    assert bool((rows.max(dim=0).values < 0.8 * plain.max(dim=0).values).all())


def test_robust_puts_the_median_at_zero_and_the_quartiles_one_apart(values: Tensor) -> None:
    rows = normalized("robust", values)
    assert_all(rows.median(dim=0).values, 0.0, 0.02)
    spread = rows.quantile(0.75, dim=0) - rows.quantile(0.25, dim=0)
    assert_all(spread, 1.0, 0.02)


def test_minmax_gives_zero_to_one(values: Tensor) -> None:
    rows = normalized("minmax", values)
    assert_all(rows.amin(dim=0), 0.0)
    assert_all(rows.amax(dim=0), 1.0)


def test_batch_norm_normalizes_each_batch_and_learns_what_to_do_when_evaluated(values: Tensor) -> None:
    module = InputNormalizer.from_config(fitted("batch_norm", values))
    rows = rows_of(module(values))
    assert_all(rows.mean(dim=0), 0.0)
    assert_all(rows.std(dim=0, correction=0), 1.0)
    module.eval()
    rows = rows_of(module(values))
    assert bool((rows.mean(dim=0).abs() > 0.1).all())  # one batch has moved the running statistics by a tenth


def test_layer_norm_normalizes_each_position_over_its_features() -> None:
    for shape in ((500, 3), (100, 5, 3), (50, 3, 4, 4)):
        rows = normalized("layer_norm", field(shape))
        assert_all(rows.mean(dim=1), 0.0)
        assert_all(rows.std(dim=1, correction=0), 1.0)


def test_every_option_is_tested_above() -> None:
    tested = {name.removeprefix("test_").split("_")[0] for name in globals() if name.startswith("test_")}
    assert {option.split("_")[0] for option in NORMALIZATIONS} <= tested


def test_per_kind_gives_every_feature_what_its_kind_asks_for() -> None:
    generator = torch.Generator().manual_seed(0)
    tail = torch.randn(1000, generator=generator).mul(1.5).exp()
    plain = 13_000 + 900 * torch.randn(1000, generator=generator)
    flag = (torch.rand(1000, generator=generator) < 0.3).float()
    identifier = torch.arange(1000.0)
    values = torch.stack([plain, tail, flag, identifier, torch.full((1000,), 4.0)], dim=1)
    kinds = ("continuous", "heavy_tailed", "binary", "identifier", "constant")

    units = fitted("per_kind", values, kinds)["log_unit"]
    assert units == [0, pytest.approx(float(tail.quantile(0.05)), rel=0.01), 0, 0, 0]
    rows = normalized("per_kind", values, kinds)
    assert_all(rows.mean(dim=0)[:2], 0.0)
    assert_all(rows.std(dim=0, correction=0)[:2], 1.0)
    assert float(rows[:, 1].max()) < 0.5 * float(normalized("standardize", values)[:, 1].max())
    assert torch.equal(rows[:, 2], flag.double())
    assert (float(rows[:, 3].min()), float(rows[:, 3].max())) == (-1.0, 1.0)
    assert_all(rows[:10, 4], 0.0)


@pytest.mark.parametrize("option", ["standardize", "log_standardize", "robust", "minmax", "per_kind"])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7e4, 1.7e9])
def test_a_constant_feature_becomes_zero(option: str, value: float) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.stack([torch.full((100,), value), torch.randn(100, generator=generator)], dim=1)
    config = fitted(option, values)
    assert config["scale"][0] == 1.0
    rows = InputNormalizer.from_config(config)(values)
    assert float(rows[:, 0].abs().max()) <= 1e-6 * max(1.0, abs(value))


def test_noise_below_the_resolution_of_float32_is_not_blown_up() -> None:
    generator = torch.Generator().manual_seed(0)
    values = 0.3 + 1e-10 * torch.randn(1000, 1, generator=generator, dtype=torch.float64)
    module = InputNormalizer.from_config(fitted("standardize", values))
    assert float(module(values).abs().max()) < 1e-3
    assert float(module(values + 1).max()) == pytest.approx(1.0)  # another value, first seen in validation


@pytest.mark.parametrize(("mean", "deviation"), [(1.7e9, 1e5), (2026.4, 0.05), (-3e5, 20.0)])
def test_a_narrow_feature_far_from_zero_keeps_its_center(mean: float, deviation: float) -> None:
    generator = torch.Generator().manual_seed(0)
    values = mean + deviation * torch.randn(2000, 1, generator=generator, dtype=torch.float64)
    rows = InputNormalizer.from_config(fitted("standardize", values))(values).double()
    assert float(rows.mean()) == pytest.approx(0.0, abs=0.01)
    assert float(rows.std()) == pytest.approx(1.0, abs=0.01)


def test_statistics_are_cut_to_six_digits_before_they_are_used() -> None:
    config = fitted("standardize", field((500, 3)))
    for number in (*config["center"], *config["scale"]):
        assert number == float(f"{number:.9g}")
    assert config["scale"] == [float(f"{number:.6g}") for number in config["scale"]]


def test_features_of_images_are_their_channels() -> None:
    images = field((50, 3, 4, 4))
    config = fitted("standardize", images)
    assert config["axis"] == 1 and len(config["center"]) == 3
    assert config["center"] == pytest.approx(images.double().mean(dim=(0, 2, 3)).tolist(), rel=1e-5)


def test_a_logarithm_takes_zero_and_negative_values() -> None:
    module = InputNormalizer([0.0], [1.0], log_unit=[1.0])
    values = torch.tensor([[-9.0], [0.0], [9.0]])
    assert module(values).flatten().tolist() == pytest.approx([-2.302585, 0.0, 2.302585])


numbers = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
scales = st.floats(2**-10, 1e6, width=32)
units = st.just(0.0) | scales


@given(features=st.lists(st.tuples(numbers, scales, units, numbers), min_size=1, max_size=4))
def test_a_config_read_back_from_yaml_is_the_same_function(
    features: list[tuple[float, float, float, float]],
) -> None:
    center, scale, unit, value = (list(column) for column in zip(*features, strict=True))
    module = InputNormalizer(center, scale, unit)
    config = yaml.safe_load(yaml.safe_dump({"kind": "per_kind", "center": center, "scale": scale, "log_unit": unit}))
    batch = torch.tensor([value, value])
    given = torch.tensor(unit)
    transformed = torch.where(given > 0, batch.sign() * (batch.abs() / given.clamp(min=1e-9)).log1p(), batch)
    expected = (transformed - torch.tensor(center)) / torch.tensor(scale)
    assert torch.allclose(module(batch), expected, rtol=1e-5)
    assert torch.equal(InputNormalizer.from_config(config)(batch), module(batch))


@pytest.mark.parametrize("option", NORMALIZATIONS)
def test_a_state_dict_restores_a_normalizer(option: str) -> None:
    values = field((500, 3))
    config = fitted(option, values, ("heavy_tailed", "continuous", "continuous"))
    module = InputNormalizer.from_config(config)
    module(values)  # batch norm learns
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)

    blank = {**config, "center": [0.0] * 3, "scale": [1.0] * 3} if "center" in config else config
    restored = InputNormalizer.from_config(blank)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(restored.eval()(values), module.eval()(values))


def test_statistics_move_with_the_model_and_are_never_trained() -> None:
    model = nn.Sequential(InputNormalizer([1.0, 2.0], [3.0, 4.0], log_unit=[0.5, 0.0]), nn.Linear(2, 1))
    assert [name for name, _ in model.named_parameters()] == ["1.weight", "1.bias"]
    model.to(torch.device("meta"))
    assert {buffer.device.type for buffer in model.buffers()} == {"meta"}
    assert model(torch.empty(5, 2, device="meta")).shape == (5, 1)


def test_half_precision_models_get_half_precision_inputs() -> None:
    module = InputNormalizer([1.0], [2.0]).to(torch.bfloat16)
    assert module(torch.ones(3, 1)).dtype == torch.bfloat16
    norm = FeatureNorm("layer_norm", 2, -1).to(torch.bfloat16)
    assert norm(torch.ones(3, 2)).dtype == torch.bfloat16


def test_integers_are_taken() -> None:
    assert InputNormalizer([128.0], [2.0])(torch.tensor([[130]], dtype=torch.uint8)).tolist() == [[1.0]]
