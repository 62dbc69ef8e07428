from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from preflight.scenarios import icecube
from preflight.scenarios.icecube_data import DOWNWARD, ROW_LENGTHS, sensor_positions

Split = dict[str, Tensor]


@pytest.fixture(scope="module")
def splits() -> tuple[Split, Split]:
    return icecube.load_data()


@pytest.fixture(scope="module")
def train(splits: tuple[Split, Split]) -> Split:
    return splits[0]


def column(split: Split, feature: str) -> Tensor:
    return split["pulses"][split["valid"]][:, icecube.FEATURES.index(feature)]


def test_shapes_and_dtypes(splits: tuple[Split, Split]) -> None:
    for split, events in zip(splits, (5000, 1000), strict=True):
        assert {name: (tuple(value.shape), value.dtype) for name, value in split.items()} == {
            "pulses": ((events, 24, 4), torch.float32),
            "valid": ((events, 24), torch.bool),
            "direction": ((events, 3), torch.float32),
        }


@pytest.mark.parametrize(
    ("feature", "low", "high", "mean", "mean_tolerance"),
    [
        ("time", 5_714.0, 77_785.0, 13_130.0, 200.0),
        ("charge", 0.025, 2_762.0, 3.9, 0.8),
        ("sensor_id", 0.0, 5_159.0, 2_580.0, 60.0),
        ("auxiliary", 0.0, 1.0, 0.28, 0.01),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_documented_statistics(
    feature: str, low: float, high: float, mean: float, mean_tolerance: float, seed: int
) -> None:
    values = column(icecube.load_data(seed=seed)[0], feature)
    assert low - 1e-3 <= float(values.min()) <= low + 0.001 * (high - low)
    assert 0.5 * high <= float(values.max()) <= high + 1e-3
    assert float(values.mean()) == pytest.approx(mean, abs=mean_tolerance)


def test_charge_has_a_heavy_tail_and_identifiers_are_whole_numbers(train: Split) -> None:
    charge = column(train, "charge")
    assert float(charge.mean()) > 3 * float(charge.median())
    assert float(charge.max()) > 50 * float(charge.quantile(0.99))
    for feature in ("sensor_id", "auxiliary"):
        assert torch.equal(column(train, feature), column(train, feature).round())


def test_events_are_padded_at_the_end_with_zeros_and_ordered_in_time(train: Split) -> None:
    valid, pulses = train["valid"], train["pulses"]
    assert not (valid[:, 1:] & ~valid[:, :-1]).any()
    assert 0 < valid.float().mean() < 1
    assert not pulses[~valid].any()
    both = valid[:, 1:] & valid[:, :-1]
    assert (pulses[..., 0].diff(dim=1)[both] >= 0).all()


def test_directions_are_unit_vectors_and_more_of_them_downward(train: Split) -> None:
    direction = train["direction"]
    assert torch.allclose(direction.norm(dim=1), torch.ones(len(direction)))
    assert torch.allclose(direction.mean(dim=0), torch.tensor([0, 0, -DOWNWARD / 3]), atol=0.03)
    assert torch.allclose(direction.T @ direction / len(direction), torch.eye(3) / 3, atol=0.03)


def test_the_best_constant_direction_is_where_the_documented_loss_came_to_rest(train: Split) -> None:
    down = torch.tensor([[0.0, 0.0, -1.0]]).expand_as(train["direction"])
    expected = math.pi / 2 - DOWNWARD * math.pi / 8
    assert icecube.angle(down, train["direction"]).item() == pytest.approx(expected, abs=0.03)
    assert expected == pytest.approx(1.49, abs=0.01)


def test_tracks_run_along_their_direction(train: Split) -> None:
    positions = torch.from_numpy(sensor_positions()).float()
    time, _, sensor, auxiliary = train["pulses"].unbind(-1)
    signal = (train["valid"] & (auxiliary == 0) & (time < 13_000)).float()
    where = positions[sensor.long()]
    slope = ((time - mean_of(time, signal)) * signal)[..., None] * where
    found = slope.sum(dim=1)
    assert icecube.angle(found, train["direction"]) < 0.5


def mean_of(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)


def test_sensors_are_numbered_string_by_string_and_row_by_row() -> None:
    strings = sensor_positions().reshape(86, 60, 3)
    assert sum(ROW_LENGTHS) == 86
    assert (strings[:, :, :2] == strings[:, :1, :2]).all()
    assert (np.diff(strings[:, :, 2], axis=1) < 0).all()
    assert (np.diff(strings[:, 0, 1]) >= 0).all()


def test_same_seed_same_data_and_splits_differ() -> None:
    first, again, other = (icecube.load_data(50, 50, seed=seed) for seed in (3, 3, 4))
    for name in first[0]:
        assert torch.equal(first[0][name], again[0][name])
        assert torch.equal(first[1][name], again[1][name])
    assert not torch.equal(first[0]["direction"], other[0]["direction"])
    assert not torch.equal(first[0]["direction"], first[1]["direction"])


def test_times_and_charges_in_other_units_are_the_same_in_deviations() -> None:
    (raw, _), (other, _) = icecube.load_data(50, 50), icecube.load_data(50, 50, units=3)
    for name, factor in {"time": 3, "charge": 3, "sensor_id": 1, "auxiliary": 1}.items():
        torch.testing.assert_close(column(other, name), factor * column(raw, name))
    scaled, again = (icecube.load_data(50, 50, units=units, scaled=True) for units in (1, 0.1))
    for one, two in zip(scaled, again, strict=True):
        torch.testing.assert_close(one["pulses"], two["pulses"], rtol=1e-3, atol=1e-3)


def test_global_random_state_is_untouched() -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    icecube.load_data(20, 20)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"events": 0}, "events"), ({"validation_events": 0}, "validation_events"), ({"pulses": 3}, "pulses=3")],
)
def test_impossible_sizes_are_named(arguments: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        icecube.load_data(**arguments)


def test_heads_must_divide_dim() -> None:
    with pytest.raises(ValueError, match="dim=10, heads=4"):
        icecube.build_model(dim=10, heads=4)


def test_parameters_are_named_as_in_the_documented_run() -> None:
    names = [name for name, _ in icecube.build_model(layers=2).named_parameters()]
    assert {"t1.layers.0.qkv_proj.weight", "t1.layers.1.out_proj.weight"} <= set(names)


def test_model_ignores_padding(train: Split) -> None:
    torch.manual_seed(0)
    model = icecube.build_model(layers=2)
    pulses, valid = train["pulses"][:16], train["valid"][:16]
    disturbed = torch.where(valid[..., None], pulses, torch.randn_like(pulses) * 1e4)
    assert model(pulses, valid).shape == (16, 3)
    assert torch.equal(model(pulses, valid), model(disturbed, valid))
    longest = int(valid[:1].sum())
    torch.testing.assert_close(
        model(pulses[:1], valid[:1]), model(pulses[:1, :longest], valid[:1, :longest]), rtol=1e-4, atol=1e-4
    )


def test_dropout_reaches_the_model(train: Split) -> None:
    torch.manual_seed(0)
    model = icecube.build_model(dropout=0.5)
    batch = train["pulses"][:4], train["valid"][:4]
    assert not torch.equal(model(*batch), model(*batch))
    model.eval()
    assert torch.equal(model(*batch), model(*batch))


def test_angle_known_values_and_units() -> None:
    x, y = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    assert float(icecube.angle(5 * x, y)) == pytest.approx(math.pi / 2)
    assert float(icecube.angle(x, x)) == pytest.approx(0.0, abs=2e-3)
    assert float(icecube.angle(-x, x)) == pytest.approx(math.pi, abs=2e-3)
    assert float(icecube.angle_degrees(x, y)) == pytest.approx(90.0)


def test_angle_of_a_guess_is_chance(train: Split) -> None:
    guess = torch.randn(len(train["direction"]), 3, generator=torch.Generator().manual_seed(0))
    assert float(icecube.angle(guess, train["direction"])) == pytest.approx(math.pi / 2, abs=0.05)


@pytest.mark.parametrize("output", [[0.3, -2.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
def test_angle_gradient_is_finite(output: list[float]) -> None:
    prediction = torch.tensor([output], requires_grad=True)
    icecube.angle(prediction, torch.tensor([[0.0, 0.0, 1.0]])).backward()
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()


def test_angle_of_a_non_finite_output_is_not_hidden() -> None:
    output = torch.tensor([[math.nan, 0.0, 1.0]])
    assert torch.isnan(icecube.angle(output, torch.tensor([[0.0, 0.0, 1.0]])))


def test_todays_config_has_the_documented_settings() -> None:
    config = OmegaConf.load(Path(__file__).parents[2] / "conf/model/train/icecube.yaml")
    documented = {
        "data.shuffle": False,
        "model.dropout": 0.0,
        "optim.learning_rate": 3e-4,
        "optim.scheduler": None,
        "trainer.batch_size": 125,
        "trainer.grad_clip": 1.0,
    }
    assert {path: OmegaConf.select(config, path) for path in documented} == documented
    assert config.data.n_events // config.trainer.batch_size == 40  # batches of the documented table
